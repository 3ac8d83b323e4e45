#!/usr/bin/env bash
# One TPU VM of Google Cloud, from a laptop with gcloud: made if it is not there, the code copied, the run started.
#
#   bash experiments/launch/tpu_vm.sh --zone=us-west4-a --nfs=10.0.0.2:/runs --workdir=/mnt/r1jax/r1_zero_1.5b
#       --config=experiments/r1_zero.py:qwen2.5-1.5b --config.base.source=/mnt/r1jax/Qwen2.5-1.5B
#
# After a preemption the same line makes the VM anew and goes on. --name, --topology (of one VM), --spot=no, --plan=yes
# (asks first whether it fits), --restarts=N. The rest (disk, log, stopping) is in docs/pods.md.
#
# Dry run only, 2026-11-27. Looked up then: cloud.google.com/sdk/gcloud/reference/compute/tpus/tpu-vm (create, ssh,
# scp), cloud.google.com/tpu/docs/runtimes (--version), docs.cloud.google.com/tpu/docs/preemptible (the state
# PREEMPTED), cloud.google.com/tpu/docs/jax-pods (NFS wants OS Login, which gives a user one number on all VMs). They
# also say that the Cloud TPU API has no future: nothing later than v6e, no new features. xpk.sh goes another way.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/launch/common.sh

name=r1jax zone='' nfs='' topology=v5e:2x4 spot=yes plan=no restarts=50
arguments 'name zone nfs topology spot plan restarts' "$@"
needs zone nfs
case $topology in
  v5e:1x1 | v6e:1x1) chips=1 ;;
  v5e:2x2 | v6e:2x2 | v5p:2x2x1) chips=4 ;;
  v5e:2x4 | v6e:2x4) chips=8 ;;
  *) fail "--topology=$topology is not one TPU VM (v5e:2x4, v6e:2x4, v5p:2x2x1, or smaller): xpk.sh has several" ;;
esac
case $topology in
  v5e:*) type=v5litepod-$chips version=v2-alpha-tpuv5-lite ;;
  v6e:*) type=v6e-$chips version=v2-alpha-tpuv6e ;;
  v5p:*) type=v5p-$((2 * chips)) version=v2-alpha-tpuv5 ;;  # counted in TensorCores, two a chip
esac
[[ $nfs =~ ^[A-Za-z0-9.-]+:/[A-Za-z0-9_./-]*$ ]] || fail "--nfs=$nfs is not SERVER:/SHARE"
[[ $workdir == /mnt/r1jax/* ]] || fail "--workdir=$workdir: --nfs is mounted on /mnt/r1jax: give /mnt/r1jax/RUN"

tpu() {  # tpu VERB [ARGUMENT...]
  run gcloud compute tpus tpu-vm "$1" "$name" --zone="$zone" "${@:2}"
}

if [ "$plan" = yes ]; then plan "$topology" --without-files; fi

create=(--accelerator-type="$type" --version="$version" --metadata=enable-oslogin=TRUE)
[ "$spot" = no ] || create+=(--spot)
list=(gcloud compute tpus tpu-vm list --zone="$zone" --filter="name~/$name\$" --format='value(state)')
if dry; then run "${list[@]}"; state=''; else state=$("${list[@]}"); fi
note 'where that says nothing; where it says PREEMPTED, it is deleted first; where READY, it is used:'
case $state in
  READY) ;;
  '') tpu create "${create[@]}" ;;
  PREEMPTED | TERMINATED)
    tpu delete --quiet
    tpu create "${create[@]}" ;;
  *) fail "$name is $state: wait until it is READY, or delete it" ;;
esac

# A run that goes on must keep the code that it began with: its workers load some of it later.
going_on=(tpu ssh --command="pgrep -f '[l]aunch/host.sh' >/dev/null")
note 'a VM that is there may have a run that goes on; then nothing more is done:'
if dry; then
  "${going_on[@]}"
elif [ "$state" = READY ] && "${going_on[@]}"; then
  echo "${0##*/}: a run goes on on $name: nothing is changed"
  exit 0
fi

run mkdir -p build
run tar -czf build/r1jax.tar.gz --exclude=./build --exclude=./.git --exclude=./.venv --exclude=./runs .
run gcloud compute tpus tpu-vm scp build/r1jax.tar.gz "$name:" --zone="$zone"
# The image's own Python may be older than 3.11; uv brings one (docs.astral.sh/uv/getting-started/installation).
tpu ssh --command="set -e
if ! mountpoint -q /mnt/r1jax; then
  sudo apt-get install -y -q nfs-common; sudo mkdir -p /mnt/r1jax; sudo mount $nfs /mnt/r1jax
fi
[ -w /mnt/r1jax ] || sudo chown \$(id -u) /mnt/r1jax
mkdir -p r1jax $(quoted "$(dirname "$workdir")")
tar -xzf r1jax.tar.gz -C r1jax
[ -x .local/bin/uv ] || curl -LsSf https://astral.sh/uv/install.sh | sh
.local/bin/uv python install 3.12"
host=(bash experiments/launch/host.sh --extra=tpu "--restarts=$restarts" "${words[@]}")
tpu ssh --command="cd r1jax; export PYTHON=\$(~/.local/bin/uv python find 3.12)
nohup setsid $(quoted "${host[@]}") >>$(quoted "$workdir.log") 2>&1 </dev/null &"
note 'which does, on the VM:'
if dry; then "${host[@]}"; fi
