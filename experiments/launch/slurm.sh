#!/usr/bin/env bash
#SBATCH --job-name=r1jax
#SBATCH --ntasks-per-node=1 --exclusive --mem=0
#SBATCH --requeue --open-mode=append --output=slurm-%j.out
#SBATCH --signal=B:TERM@300
# Several GPU hosts under SLURM, one process a host. On the login node, the repository on a disk that all nodes see:
#
#   SBATCH_PARTITION=P SBATCH_TIMELIMIT=24:00:00 bash experiments/launch/slurm.sh --topology=h100:2x8
#       --config=experiments/distill.py:qwen-7b --workdir=/shared/distill_7b --config.base.source=/shared/Qwen ...
#
# submits itself. The job starts host.sh on every node; where all of them exited 0, 143 or 5 it goes into the queue
# again, at most --restarts times. Later the same line goes on. --extra=cuda12 for drivers before 580;
# --grace=SECONDS for a save, at least a minute below those of --signal. The rest is in docs/pods.md.
#
# Dry run only, 2026-11-27. Looked up then: slurm.schedmd.com/{sbatch,srun,scancel,scontrol,preempt}.html, of
# 2026-08-20. With B: this shell alone gets the signal, up to a minute early; srun returns the highest code of all
# tasks; scancel --signal reaches the steps and not this shell. At a SIGTERM of its own srun kills its tasks, so it
# must not get one. "requeue Incomplete" leaves a job alone that somebody has cancelled.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/../..}"  # SLURM runs a copy of this file, from a folder of its own
[ -f experiments/launch/common.sh ] || { echo 'slurm.sh: submit it from the root of the repository' >&2; exit 2; }
. experiments/launch/common.sh

topology=h100:2x8 extra=cuda13 grace=200 restarts=50
arguments 'topology extra grace restarts' "$@"
[[ $topology =~ ^(a100(-40|-80)?|h100|h200|l4|t4):([1-9][0-9]*)x([1-8])$ ]] \
  || fail "--topology=$topology is not KIND:HOSTSxGPUS (h100:2x8)"
nodes=${BASH_REMATCH[3]} gpus=${BASH_REMATCH[4]}
job=${SLURM_JOB_ID:-JOB} before=${SLURM_RESTART_COUNT:-0}

if [ "$job" = JOB ]; then
  run sbatch --nodes="$nodes" --gpus-per-node="$gpus" experiments/launch/slurm.sh "$@"
  dry || exit 0
  note 'in the job, on its first host:'
fi
[ "${SLURM_JOB_NUM_NODES:-$nodes}" = "$nodes" ] \
  || fail "--topology=$topology has $nodes hosts, and the job $SLURM_JOB_NUM_NODES: submit it with --nodes=$nodes"

install "$extra"  # once for all hosts, which share the folder
# Where JAX finds SLURM it takes one GPU a process (github.com/jax-ml/jax/issues/16788), unless all are named.
run export JAX_LOCAL_DEVICE_IDS="$(seq -s, 0 $((gpus - 1)))"
exits=$workdir/launch/$job.$before
run mkdir -p "$exits"
host=(bash experiments/launch/host.sh "--extra=$extra" "--exits=$exits" "${words[@]}")
step=(srun --ntasks-per-node=1 --gpus-per-node="$gpus" --cpu-bind=none --kill-on-bad-exit=0 --wait=0 "${host[@]}")
requeue=(scontrol requeue Incomplete "$job")
if dry; then
  run "${step[@]}"
  note 'where its hosts exited 143 or 5:'
  run "${requeue[@]}"
  note 'which does, on every host:'
  "${host[@]}"
  exit 0
fi

timer=''
stop() {  # the time is nearly up: hosts save, and the job is queued again even if they do not end in time
  scancel --signal=TERM "$job"
  { sleep "$grace"; "${requeue[@]}"; } &
  timer=$!
}
trap stop TERM
"${step[@]}" &
ended $!
[ -z "$timer" ] || kill "$timer" 2>/dev/null || true
[ "$code" != 0 ] || exit 0
codes=$(cat "$exits"/* 2>/dev/null) || exit "$code"  # no host has come as far as host.sh
for one in $codes; do
  [ "$one" = 0 ] || goes_on "$one" || exit "$one"
done
[ "$before" -lt "$restarts" ] || { echo "slurm.sh: started again $before times: no more" >&2; exit "$code"; }
"${requeue[@]}"
