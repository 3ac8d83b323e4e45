"""python tests/chaos.py [--kills=50] [--signal=KILL|TERM] [--hosts=1|2] [--torn=0] [--seed=0]

A small R1-Zero (base, RL, evaluation) is ended by a signal at random moments, one host of several by turns, and started
again with the same command until it is finished; then the next one, until there were so many kills. --torn: before so
many of the starts a byte of the newest checkpoint of a stage is changed, or the file cut. Every finished run must be
that which nobody interrupted: bit for bit on one host, within 1e-5 on several. Exit 0 if all of it held.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
SMALL = {
    'base.model': 'nano', 'base.documents': 300, 'base.steps': 8, 'base.batch': 4, 'base.log_every': 2,
    'rl.task.size': 64, 'rl.steps': 8, 'rl.groups': 2, 'rl.micro_tokens': 64, 'rl.samples': 4, 'rl.max_tokens': 16,
    'rl.slots': 8, 'rl.eval_every': 4, 'rl.eval_questions': 4, 'rl.eval_samples': 4, 'rl.ref_every': 4,
    'evaluate.task.size': 8,
    'evaluate.samples': 4, 'evaluate.batch': 4, 'evaluate.max_tokens': 16, 'checkpoints.every': 2,
    'checkpoints.keep': 10}
WAYS = [{}, {'checkpoints.minutes': 0.0, 'checkpoints.every': 4}]  # by turns: none of them changes a number
LIMIT = 30  # seconds that the other hosts of a lost one have


class Broken(Exception):
  """Something that was promised did not hold."""


class Run:
  """A work dir, and the processes that a start of it is."""

  def __init__(self, workdir: pathlib.Path, hosts: int, overrides: dict):
    self.workdir, self._hosts = workdir, hosts
    self._args = ['--config=experiments/r1_zero.py:tiny', f'--workdir={workdir}',
                  *(f'--config.{key}={value}' for key, value in {**SMALL, **overrides}.items())]
    self._log = workdir.with_suffix('.log')

  def start(self) -> list[subprocess.Popen]:
    with socket.create_server(('127.0.0.1', 0)) as free:
      port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('JAX_COORDINATOR', 'JAX_NUM', 'JAX_PROCESS'))}
    env = {**kept, 'JAX_PLATFORMS': 'cpu',
           'XLA_FLAGS': f'--xla_force_host_platform_device_count={4 // self._hosts} '
                        + os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}
    several = lambda i: dict(JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}', JAX_NUM_PROCESSES=str(self._hosts),
                             JAX_PROCESS_ID=str(i)) if self._hosts > 1 else {}
    with open(self._log, 'ab') as log:
      return [subprocess.Popen([sys.executable, '-m', 'r1jax.main', *self._args], cwd=ROOT, env={**env, **several(i)},
                               stdout=log, stderr=log) for i in range(self._hosts)]

  def finish(self) -> float:
    """Seconds that it took."""
    begun, processes = time.monotonic(), self.start()
    codes = [p.wait(timeout=600) for p in processes]
    if any(codes):
      raise Broken(f'started again it ended with {codes}: {self.said()}')
    return time.monotonic() - begun

  def interrupt(self, after: float, how: signal.Signals, host: int) -> str:
    """Starts it and sends the signal to one of its hosts after so many seconds; what came of it."""
    processes = self.start()
    try:
      return self._interrupted(processes, after, how, host)
    finally:
      for process in processes:
        if process.poll() is None:
          process.kill()

  def _interrupted(self, processes, after: float, how: signal.Signals, host: int) -> str:
    try:
      processes[host].wait(timeout=after)
    except subprocess.TimeoutExpired:
      processes[host].send_signal(how)
      sent = time.monotonic()
      limit = LIMIT + 30 * (how == signal.SIGTERM)  # one that starts or compiles looks when that is done
      codes = [p.wait(timeout=max(limit - time.monotonic() + sent, 1)) for p in processes]
      # Before a handler stands, a signal just ends it; 0: a host that had nothing left to wait for.
      wanted = {143, 0, -15, 5} if how == signal.SIGTERM else {-9, 5, 0}
      if not set(codes) <= wanted or (5 in codes and not {-9, -15} & set(codes)):
        raise Broken(f'{how.name} after {after:.1f} s: exit codes {codes}: {self.said()}')
      return f'exit codes {codes}, {time.monotonic() - sent:.1f} s later'
    codes = [p.wait(timeout=60) for p in processes]
    if any(codes):
      raise Broken(f'before any signal it ended with {codes}: {self.said()}')
    return 'was finished before'

  def said(self) -> str:
    return ' | '.join(self._log.read_text(errors='replace').splitlines()[-12:])

  def tear(self, rng: random.Random) -> str:
    """Changes a file of the newest checkpoint of a stage that has two or more; what was done. Of a finished stage one of
    what it passes on: nobody reads the rest before the stage goes on."""
    whole = lambda stage: [p for p in stage.glob('*') if p.name.isdigit()]  # none that was being written at the kill
    stages = [p for p in sorted(self.workdir.glob('*/checkpoints')) if len(whole(p)) > 1]
    if not stages:
      return ''
    stage = rng.choice(stages)
    newest = max(whole(stage), key=lambda p: int(p.name))
    noted = json.loads((self.workdir / 'pipeline.json').read_text())['stages']
    finished = stage.parent.name in [entry['directory'] for entry in noted]
    files = [p for p in sorted((newest / 'params' if finished else newest).rglob('*'))
             if p.is_file() and p.stat().st_size and p.name != 'commit_success.txt']  # that it is there says it
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    if rng.random() < 0.5:
      data = data[:rng.randrange(len(data))]
    else:
      data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(data))
    return str(file.relative_to(self.workdir))


def compare(whole: pathlib.Path, other: pathlib.Path, near: float) -> None:
  """Raises Broken where two finished runs differ; near: 0, or how far numbers may lie apart, relatively."""
  def same(a, b) -> bool:
    if near and isinstance(a, float) and isinstance(b, float):
      return bool(np.isclose(a, b, rtol=near, atol=near))
    return a == b

  for stage in ('1_base', '2_rl', '3_evaluate'):
    mine, theirs = (runs.rows(run / stage / 'metrics.jsonl') for run in (whole, other))
    if [r['step'] for r in mine] != [r['step'] for r in theirs]:
      raise Broken(f'{stage}: steps {[r["step"] for r in theirs]}, not {[r["step"] for r in mine]}')
    for x, y in zip(mine, theirs):
      # Of a rollout that was left in the middle, only the rest takes slots.
      differing = [k for k in x.keys() | y.keys() if k != 'rollout/slot_use' and not same(x.get(k), y.get(k))]
      if differing:
        k = differing[0]
        raise Broken(f'{stage}, step {x["step"]}: {k} is {y.get(k)}, not {x.get(k)}')
  for stage in ('1_base', '2_rl'):
    mine, theirs = (runs.weights(runs.newest(run / stage)) for run in (whole, other))
    for name, x in mine.items():
      if not (np.allclose(x, theirs[name], rtol=near, atol=near) if near else np.array_equal(x, theirs[name])):
        raise Broken(f'{stage}: {name} differs by {np.abs(x.astype(float) - theirs[name]).max()}')
  if not near:
    for place in ('2_rl/samples', '3_evaluate/eval'):
      files = {p.relative_to(whole): p for p in (whole / place).rglob('*') if p.is_file()}
      if not files or files.keys() != {p.relative_to(other) for p in (other / place).rglob('*') if p.is_file()}:
        raise Broken(f'{place} has other files')
      for name, path in files.items():
        if path.read_bytes() != (other / name).read_bytes():
          raise Broken(f'{name} differs')


def chaos(place: pathlib.Path, *, kills: int, how: signal.Signals, hosts: int = 1, torn: int = 0, seed: int = 0,
          overrides: dict | None = None, say=print) -> None:
  """Raises Broken for the first thing that did not hold."""
  rng, done, tears, number = random.Random(seed), 0, 0, 0
  whole = Run(place / 'whole', hosts, overrides or {})
  whole.finish()  # compiles; the next one shows what a start takes
  shutil.rmtree(whole.workdir)
  seconds = whole.finish()
  say(f'uninterrupted: {seconds:.1f} s')
  while done < kills or tears < torn:
    number += 1
    run, at = Run(place / f'run_{number}', hosts, {**(overrides or {}), **WAYS[number % len(WAYS)]}), 0
    while at < 5 and (done < kills or tears < torn):  # of one run, so that some get through
      # Of several hosts when all have joined: before that the others wait for one that is gone, five minutes.
      came = run.interrupt(rng.uniform(15.0 if hosts > 1 else 0.2, seconds), how, rng.randrange(hosts))
      at, done = at + 1, done + ('exit' in came)
      if tears < torn and (file := run.tear(rng)):
        tears += 1
        came += f'; torn: {file}'
      say(f'run {number}, {how.name} {done}: {came}')
      if 'finished' in came:
        break
    run.finish()
    compare(whole.workdir, run.workdir, 1e-5 if hosts > 1 else 0.0)
    say(f'run {number} is the uninterrupted one')
    shutil.rmtree(run.workdir)
  say(f'{done} x {how.name}, {tears} torn files, {hosts} host{"s" * (hosts > 1)}: all {number} runs as the one that '
      'nobody interrupted')


def main() -> int:
  parser = argparse.ArgumentParser()
  for name, default in (('kills', 50), ('hosts', 1), ('torn', 0), ('seed', 0)):
    parser.add_argument(f'--{name}', type=int, default=default)
  parser.add_argument('--signal', choices=('KILL', 'TERM'), default='KILL')
  a = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix='r1jax_chaos_') as place:
    try:
      chaos(pathlib.Path(place), kills=a.kills, how=signal.Signals[f'SIG{a.signal}'], hosts=a.hosts, torn=a.torn,
            seed=a.seed, say=lambda text: print(text, flush=True))
    except Broken as e:
      print(f'chaos: {e}', file=sys.stderr)
      return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
