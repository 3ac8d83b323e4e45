#!/usr/bin/env bash
# A slice of TPUs on GKE, by xpk from a laptop that has xpk, gcloud and kubectl: one JobSet with a pod for each host.
#
#   bash experiments/launch/xpk.sh --project=P --zone=us-east5-a --cluster=C --storage=runs --topology=v5p:2x2x2
#       --config=experiments/r1_zero.py:qwen2.5-7b --workdir=/data/r1_zero_7b --config.base.source=/data/Qwen2.5-7B ...
#
# A pod that exits 143 or 5, or whose machine is taken away, has the JobSet start all pods again, at most --restarts
# times; 1, 2, 3 and 4 end it. Then the same line makes a new one, which goes on. --name, --image (with Python 3.11 or
# later), --grace=SECONDS from SIGTERM to the kill, --plan=yes. The rest (cluster, storage, log) is in docs/pods.md.
#
# Dry run only, 2026-11-27. Looked up then in xpk's sources of 2026-06-25, github.com/AI-Hypercomputer/xpk:
# docs/usage/{workloads,storage,docker}.md, src/xpk/parser/workload.py. It restarts on 42, on 127 to 255 and on what
# --restart-on-exit-codes adds; calls a type v5p-2x2x2; lays this folder on the image, as /app; hands a SIGTERM on.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/launch/common.sh

project='' zone='' cluster='' storage='' name=r1jax topology=v5p:2x2x2 image=python:3.12 grace=300 restarts=50 plan=no
arguments 'project zone cluster storage name topology image grace restarts plan' "$@"
needs project zone cluster storage
[[ $topology =~ ^(v5e:[0-9]+x[0-9]+|v6e:[0-9]+x[0-9]+|v5p:[0-9]+x[0-9]+x[0-9]+)$ ]] \
  || fail "--topology=$topology is no slice of v5e, v6e (v6e:4x4) or v5p (v5p:2x2x2)"
type=${topology/:/-}

if [ "$plan" = yes ]; then plan "$topology" --without-files; fi

host=(bash experiments/launch/host.sh --extra=tpu "${words[@]}")
run xpk workload create --project="$project" --zone="$zone" --cluster="$cluster" --workload="$name" \
  --tpu-type="${type/v5e/v5litepod}" --num-slices=1 --storage="$storage" --base-docker-image="$image" \
  --max-restarts="$restarts" --restart-on-exit-codes=5 --termination-grace-period-seconds="$grace" \
  --command="exec $(quoted "${host[@]}")"
note 'which does, in every pod:'
if dry; then "${host[@]}"; fi
