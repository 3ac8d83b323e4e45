"""python tests/chaos.py [--kills=50] [--signal=KILL|TERM] [--hosts=1|2] [--torn=0] [--import] [--limit=25] [--seed=0]

A small R1-Zero (base, RL, evaluation) is ended by a signal at random moments, one host of several by turns, and started
again with the same command until it is finished; then the next one, until there were so many kills. --import: its base
is a small published directory, which is imported. --torn: before so many of the starts a byte of the newest checkpoint
of a stage is changed, or the file cut, and the next start must say so. --limit: seconds in which a start ends that was
asked to stop, on a machine that does nothing else. Every finished run must be that which nobody interrupted: bit for
bit on one host, within 1e-5 on several. Exit 0 if all of it held.
"""

import argparse
import contextlib
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
from typing import NamedTuple

import numpy as np

import hosts_test
from r1jax import outputs
import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
SMALL = {
    'base.model': 'nano', 'base.documents': 300, 'base.steps': 8, 'base.batch': 4, 'base.log_every': 2,
    'rl.task.size': 64, 'rl.steps': 8, 'rl.groups': 2, 'rl.micro_tokens': 64, 'rl.samples': 4, 'rl.max_tokens': 16,
    'rl.slots': 8, 'rl.eval_every': 4, 'rl.eval_questions': 4, 'rl.eval_samples': 4, 'rl.ref_every': 4,
    'evaluate.task.size': 8,
    'evaluate.samples': 4, 'evaluate.batch': 4, 'evaluate.max_tokens': 16, 'checkpoints.every': 2,
    'checkpoints.keep': 10}
IMPORTED = {  # of a published base, which has no stage of training
    **{key: value for key, value in SMALL.items() if not key.startswith('base.')}, 'base.model': 'nano-qwen',
    'rl.template': 'plain', 'evaluate.template': 'plain', 'rl.max_prompt': 200, 'rl.micro_tokens': 512,
    'evaluate.max_prompt': 200, 'rl.task.size': 32}  # of which that config has 38
WAYS = [{}, {'checkpoints.minutes': 0.0, 'checkpoints.every': 4}]  # by turns: none of them changes a number
LOST = 30  # seconds that the other hosts of a lost one have
LIMIT = 25  # seconds that one which is asked to stop has
SAID = ('cannot be read', 'is torn', 'is other than it was written')  # of a torn file, by the start that meets it


class Broken(Exception):
  """Something that was promised did not hold."""


class Run:
  """A work dir, and the processes that a start of it is."""

  def __init__(self, workdir: pathlib.Path, hosts: int, overrides: dict, *, limit: float = LIMIT):
    """overrides: with base.source, a published directory, that is imported as the base."""
    self.workdir, self._hosts, self._limit, self._tears = workdir, hosts, limit, []
    config, small = ('smollm2', IMPORTED) if 'base.source' in overrides else ('tiny', SMALL)
    self._args = [f'--config=experiments/r1_zero.py:{config}', f'--workdir={workdir}',
                  *(f'--config.{key}={value}' for key, value in {**small, **overrides}.items())]
    self._log = workdir.with_suffix('.log')

  def start(self, without: int = 0) -> list[subprocess.Popen]:
    """without: so many of the hosts do not come."""
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('JAX_COORDINATOR', 'JAX_NUM', 'JAX_PROCESS'))}
    env = {**kept, 'JAX_PLATFORMS': 'cpu',
           'XLA_FLAGS': f'--xla_force_host_platform_device_count={4 // self._hosts} '
                        + os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}
    several = lambda i: dict(JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}', JAX_NUM_PROCESSES=str(self._hosts),
                             JAX_PROCESS_ID=str(i)) if self._hosts > 1 else {}
    with open(self._log, 'ab') as log:
      return [subprocess.Popen([sys.executable, '-m', 'r1jax.main', *self._args], cwd=ROOT, env={**env, **several(i)},
                               stdout=log, stderr=log) for i in range(self._hosts - without)]

  def finish(self) -> float:
    """Seconds that it took."""
    begun, processes = time.monotonic(), self.start()
    codes = [p.wait(timeout=600) for p in processes]
    if any(codes):
      raise Broken(f'started again it ended with {codes}: {self.said()}')
    for tear in self._tears:
      noticed(self._log.read_bytes()[tear.at:].decode(errors='replace'), tear)
    return time.monotonic() - begun

  def interrupt(self, after: float, how: signal.Signals, host: int, *, without: int = 0) -> str:
    """Starts it and sends the signal to one of its hosts so many seconds after all have come; what came of it.

    without: hosts that never come, for which the others wait when they are interrupted.
    """
    begun = self._log.stat().st_size if self._log.exists() else 0
    processes = self.start(without)
    try:
      if self._hosts > 1:
        self._come(begun, self._hosts - without, processes)
      return self._interrupted(processes, after, how, host)
    finally:
      for process in processes:
        if process.poll() is None:
          process.kill()

  def _come(self, begun: int, count: int, processes) -> None:
    """Returns when so many have come, by the log behind byte `begun`: one that never came is waited for, and rightly."""
    end = time.monotonic() + 300
    line = f'all {count} have come' if count == self._hosts else f'{count} of {self._hosts} have come'
    while line not in self._log.read_bytes()[begun:].decode(errors='replace'):
      if time.monotonic() > end or any(p.poll() is not None for p in processes):
        raise Broken(f'not all came: {self.said()}')
      time.sleep(0.05)

  def _interrupted(self, processes, after: float, how: signal.Signals, host: int) -> str:
    try:
      processes[host].wait(timeout=after)
    except subprocess.TimeoutExpired:
      processes[host].send_signal(how)
      sent = time.monotonic()
      limit = self._limit if how == signal.SIGTERM else LOST
      try:
        codes = [p.wait(timeout=max(limit - time.monotonic() + sent, 0.1)) for p in processes]
      except subprocess.TimeoutExpired:
        raise Broken(f'{how.name} after {after:.1f} s: not ended within {limit:g} s: {self.said()}') from None
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
    """Changes a file of the newest checkpoint of a stage that has two or more; which one, '' where there is none. Of a
    finished stage one of what it passes on: nobody reads the rest before the stage goes on."""
    # None whose checksums were being written at the kill: what was not noted cannot be missed.
    step, sealed = lambda p: int(p.name), lambda p: len(list(p.glob('checksums.*.json'))) == self._hosts
    kept = lambda stage: sorted((p for p in stage.glob('*') if p.name.isdigit()), key=step)
    stages = [p for p in sorted(self.workdir.glob('*/checkpoints')) if len(kept(p)) > 1 and sealed(kept(p)[-1])]
    if not stages:
      return ''
    stage = rng.choice(stages)
    newest = kept(stage)[-1]
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
    said = self._log.stat().st_size if self._log.exists() else 0
    self._tears.append(Tear(str(file.relative_to(self.workdir)), str(newest.relative_to(self.workdir)), said))
    return self._tears[-1].file


class Tear(NamedTuple):
  """A file that was changed between two starts."""
  file: str
  checkpoint: str  # that it is of
  at: int  # bytes that the log had


def noticed(said: str, tear: Tear) -> None:
  """Raises Broken where no line of the log speaks of the torn checkpoint as of one."""
  if not any(f'{tear.checkpoint}{end}' in line and any(word in line for word in SAID)
             for line in said.splitlines() for end in (' ', '/')):
    raise Broken(f'{tear.file} was torn, and no start has said so')


def free_port() -> int:
  """One that is free, as is the one behind it (r1jax/engine/joining.py)."""
  while True:
    with socket.create_server(('127.0.0.1', 0)) as free, contextlib.suppress(OSError, OverflowError):
      port = free.getsockname()[1]
      with socket.create_server(('127.0.0.1', port + 1)):
        return port


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
  imported = not list((whole / '1_base').glob('checkpoints/*/rest'))
  if imported and outputs.digest(str(whole / '1_base')) != outputs.digest(str(other / '1_base')):
    raise Broken('1_base is another one')
  for stage in ('2_rl',) if imported else ('1_base', '2_rl'):
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
          overrides: dict | None = None, limit: float = LIMIT, quick: bool = False, say=print) -> None:
  """Raises Broken for the first thing that did not hold. quick: what a start takes is not measured by a second one."""
  rng, done, tears, number = random.Random(seed), 0, 0, 0
  whole = Run(place / 'whole', hosts, overrides or {})
  seconds = whole.finish()  # compiles; the next one shows what a start takes
  if not quick:
    shutil.rmtree(whole.workdir)
    seconds = whole.finish()
  say(f'uninterrupted: {seconds:.1f} s')
  while done < kills or tears < torn:
    number += 1
    run, at = Run(place / f'run_{number}', hosts, {**(overrides or {}), **WAYS[number % len(WAYS)]}, limit=limit), 0
    while at < 5 and (done < kills or tears < torn):  # of one run, so that some get through
      # Of three and more now and then one does not come: then another is lost while the rest wait for it.
      without = int(hosts > 2 and rng.random() < 0.25)
      came = run.interrupt(rng.uniform(0.2, 3.0 if without else seconds), how, rng.randrange(hosts - without),
                           without=without)
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
  say(f'{done} x {how.name}, {tears} torn files, each noticed, {hosts} host{"s" * (hosts > 1)}: all {number} runs as '
      'the one that nobody interrupted')


def main() -> int:
  parser = argparse.ArgumentParser()
  for name, default in (('kills', 50), ('hosts', 1), ('torn', 0), ('seed', 0)):
    parser.add_argument(f'--{name}', type=int, default=default)
  parser.add_argument('--import', action='store_true', dest='imported')
  parser.add_argument('--limit', type=float, default=LIMIT)
  parser.add_argument('--signal', choices=('KILL', 'TERM'), default='KILL')
  a = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix='r1jax_chaos_') as place:
    try:
      base = {'base.source': hosts_test.published(pathlib.Path(place) / 'hf')} if a.imported else {}
      chaos(pathlib.Path(place), kills=a.kills, how=signal.Signals[f'SIG{a.signal}'], hosts=a.hosts, torn=a.torn,
            seed=a.seed, overrides=base, limit=a.limit, say=lambda text: print(text, flush=True))
    except Broken as e:
      kept = shutil.copytree(place, place + '_broken')
      print(f'chaos: {e}; what it left: {kept}', file=sys.stderr)
      return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
