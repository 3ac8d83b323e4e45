"""How tests start the files of experiments/launch: their arguments, an environment, programs that stand for others."""

import os
import pathlib
import stat
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAUNCH = ROOT / 'experiments/launch'
FILES = sorted(path.name for path in LAUNCH.iterdir())
SEVEN = ['--config=experiments/r1_zero.py:qwen2.5-7b', '--workdir=/data/run', '--config.base.source=/data/Qwen']
SMALL = ['--config=experiments/r1_zero.py:qwen2.5-1.5b', '--workdir=/mnt/r1jax/run', "--config.base.source=/data/it's"]
STUDENT = ['--config=experiments/distill.py:qwen-7b', '--workdir=/shared/run', '--config.student.path=/data/s.jsonl']
GIVEN = {
    'gpu_host.sh': SEVEN,
    'slurm.sh': [*STUDENT, '--topology=h100:2x8'],
    'tpu_vm.sh': [*SMALL, '--zone=us-west4-a', '--nfs=10.0.0.2:/runs'],
    'xpk.sh': [*SEVEN, '--project=p', '--zone=us-east5-a', '--cluster=c', '--storage=runs', '--topology=v5p:2x2x2'],
}


def environment(**env) -> dict[str, str]:
  """This one without what schedulers and other tests set; the virtual environment is not there."""
  mine = {name: value for name, value in os.environ.items()
          if not name.startswith(('SLURM_', 'JAX_')) and name not in ('DRY_RUN', 'PYTHON', 'VENV')}
  return {**mine, 'VENV': 'venv', 'PAUSE': '0', **env}


def bash(script, *args, cwd=ROOT, **env):
  """A file of experiments/launch, run to its end."""
  return subprocess.run(['bash', f'experiments/launch/{script}', *args], cwd=cwd, env=environment(**env), text=True,
                        capture_output=True, timeout=60, check=False)


def stub(path, text):
  """A program that stands for another."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f'#!/usr/bin/env bash\n{text}\n', encoding='utf-8')
  path.chmod(path.stat().st_mode | stat.S_IXUSR)


def until(what):
  """Returns when what() is true."""
  end = time.monotonic() + 20
  while not what():
    assert time.monotonic() < end
    time.sleep(0.02)
