#!/usr/bin/env bash
# One host with eight GPUs.
#
#   nohup bash experiments/launch/gpu_host.sh --config=experiments/r1_zero.py:qwen2.5-7b --workdir=/data/r1_zero_7b
#       --config.base.source=/data/Qwen2.5-7B ... >>/data/r1_zero_7b.log 2>&1 &
#   kill -TERM %1       saves and ends it; the same line goes on
#
# --extra=cuda12 for drivers before 580; --plan=yes asks first whether it fits --topology; --restarts=N. The rest is in
# docs/pods.md. Dry run only, 2026-11-27. Extras and drivers: docs.jax.dev/en/latest/installation.html, 2026-11.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/launch/common.sh

topology=h100:1x8 extra=cuda13 plan=no restarts=20
arguments 'topology extra plan restarts' "$@"
[[ $topology =~ ^(a100(-40|-80)?|h100|h200|l4|t4):1x[1-8]$ ]] \
  || fail "--topology=$topology is not one GPU host (h100:1x8): slurm.sh has several"

run nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
if [ "$plan" = yes ]; then
  install "$extra"
  PYTHON=$venv/bin/python plan "$topology"
fi
host=(bash experiments/launch/host.sh "--extra=$extra" "--restarts=$restarts" "${words[@]}")
run exec "${host[@]}"  # in the place of this shell, whose process number a signal is sent to
note 'which does:'
"${host[@]}"
