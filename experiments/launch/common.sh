# shellcheck shell=bash
# What the launch files share: their arguments, the dry run, what an exit code asks for. Sourced from the repository's
# root; for bash 3.2 or later, which laptops have.
#
# Dry run only, 2026-11-27: no file in this folder has run on the machines that it is for.

config='' workdir='' passed=() words=()

# A wrong argument: one line, exit code 2.
fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# The words as one line that a shell reads as these words.
quoted() {
  local word line='' inside="'\\''"
  for word; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'${word//\'/$inside}'"
    line="$line $word"
  done
  echo "${line# }"
}

dry() { [ "${DRY_RUN:-}" = 1 ]; }

# Runs a command; DRY_RUN=1 prints it.
run() {
  if dry; then quoted "$@"; else "$@"; fi
}

# Said in a dry run alone: where the commands below it run.
note() {
  if dry; then echo "# $*"; fi
}

# arguments 'NAME NAME' "$@": --NAME=VALUE sets $NAME. `passed` is what r1jax.main takes beside config and work dir,
# `words` all that it takes.
arguments() {
  local known="config workdir $1" argument name
  shift
  for argument; do
    name=${argument%%=*}
    case $argument in
      --config.*=* | --rerun=* | --profile=* | --verify) passed+=("$argument") ;;
      --*=*)
        [[ " $known " == *" ${name#--} "* ]] || fail "unknown argument $name: there are --${known// /, --}," \
          'and --config.KEY, --rerun, --profile, --verify of r1jax.main'
        printf -v "${name#--}" %s "${argument#*=}" ;;
      *) fail "unexpected argument '$argument': arguments are --NAME=VALUE" ;;
    esac
  done
  [ -f "${config%%:*}" ] || fail "--config='$config' names no file here: give experiments/NAME.py[:ARG]"
  case $workdir in
    *://*) fail "--workdir=$workdir: an address is no path: mount it (NFS, Lustre, gcsfuse), give the path there" ;;
    /*) ;;
    *) fail "--workdir='$workdir' is not a whole path: give one on a disk that all hosts see and that outlives them" ;;
  esac
  words=("--config=$config" "--workdir=$workdir" ${passed[@]+"${passed[@]}"})
}

# needs NAME...: these arguments have been given.
needs() {
  local name
  for name; do
    [ -n "${!name}" ] || fail "--$name=VALUE is needed"
  done
}

# plan TOPOLOGY [--without-files]: ends here, with its exit code 3, where the config does not fit. Without files where
# what the run reads lies on another machine.
plan() {
  local word of_config=()
  for word in "${words[@]}"; do
    [[ $word != --config* ]] || of_config+=("$word")
  done
  run "${PYTHON:-python3}" -m r1jax.plan "${of_config[@]}" "--topology=$1" ${2:+"$2"}
}

# Whether an exit code asks for the same command again: asked to stop with all saved, or another host is lost. All
# others are for a person: 2 a mistake of theirs, 3 it does not fit (r1jax.plan), 4 the run stopped itself, 1 a fault.
goes_on() { [ "$1" = 143 ] || [ "$1" = 5 ]; }

# ended PID: waits for a child until it is gone, whatever signals come meanwhile; its exit code is in `code`.
# shellcheck disable=SC2034
ended() {
  code=0
  wait "$1" || code=$?
  while kill -0 "$1" 2>/dev/null; do  # a trapped signal ends `wait`, not the child
    code=0
    wait "$1" || code=$?
  done
}

# install EXTRA: r1jax with that extra in $VENV (.venv), once; leaves `venv`.
install() {
  local python=${PYTHON:-python3}
  venv=${VENV:-.venv}
  if [ -e "$venv/r1jax.$1" ] || [ "${PRINTED:-}" = "$1" ]; then return; fi
  if dry; then export PRINTED="$1"; fi
  run "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || fail "$python is no Python of 3.11 or later: name one, PYTHON=/PATH/python3.12"
  run "$python" -m venv "$venv"
  run "$venv/bin/python" -m pip install --quiet --editable ".[$1]"
  run touch "$venv/r1jax.$1"
}
