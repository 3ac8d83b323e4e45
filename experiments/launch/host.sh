#!/usr/bin/env bash
# What each host of a run does: r1jax in a virtual environment, its versions, then r1jax.main until the run is finished.
#
#   bash experiments/launch/host.sh --extra=tpu|cuda13|cuda12 --config=experiments/NAME.py[:ARG] --workdir=/MOUNT/RUN
#       [--restarts=N] [--config.KEY=VALUE ...]
#
# The other files here start it, with the same arguments on every host; how hosts find each other is in
# r1jax/engine/hosts.py. SIGTERM goes on to r1jax.main, which saves and exits 143. --restarts: so many times the same
# command again where the exit code asks for it (common.sh: goes_on). Dry run only, 2026-11-27.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/launch/common.sh

extra='' restarts=0 exits=''
arguments 'extra restarts exits' "$@"
case $extra in
  tpu | cuda12 | cuda13) ;;
  *) fail "--extra='$extra' is none of tpu, cuda13 (a driver of 580 or newer), cuda12" ;;
esac
# slurm.sh gives a folder: it needs every host's own code, and srun tells the highest.
if [ -n "$exits" ] && ! dry; then trap 'echo $? >"$exits/$HOSTNAME.$$"' EXIT; fi

install "$extra"
# Beside the work dir, so that a host that is new need not compile again.
run export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$(dirname "$workdir")/xla}"
run "$venv/bin/python" -c 'import sys; from importlib import metadata
print("python", sys.version.split()[0], *sorted(f"{d.name} {d.version}" for d in metadata.distributions()
                                                if d.name.startswith(("jax", "libtpu", "r1jax"))))'
main=("$venv/bin/python" -m r1jax.main "${words[@]}")
if dry; then
  run "${main[@]}"
  exit 0
fi

child='' asked=''
# shellcheck disable=SC2329
stop() {
  asked=1
  [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT HUP  # Ctrl-C does not reach what a script starts in the background

for ((again = 1; ; again++)); do
  "${main[@]}" &
  child=$!
  ended "$child"
  child=''
  if ! goes_on "$code" || [ -n "$asked" ] || [ "$again" -gt "$restarts" ]; then break; fi
  echo "host.sh: exit code $code: the same command again, $again of at most $restarts times" >&2
  sleep "${PAUSE:-10}"
  if [ -n "$asked" ]; then break; fi
done
echo "host.sh: $HOSTNAME: exit code $code" >&2
exit "$code"
