"""What a person reads: a nano run in a terminal that is stopped by Ctrl-C, then gone on with in a pipe to its end."""

import fcntl
import io
import json
import logging
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from r1jax import environment
from r1jax import errors
from r1jax import summary
from r1jax import terminal
from r1jax.engine import checkpoint

import chaos

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 80


def command(workdir, **overrides):
  values = {**chaos.SMALL, 'rl.eval_every': 0, 'base.steps': 60, **overrides}
  return [sys.executable, '-m', 'r1jax.main', '--config=experiments/r1_zero.py:tiny', f'--workdir={workdir}',
          *(f'--config.{key}={value}' for key, value in values.items())]


def in_a_terminal(argv, until: bytes, keys: bytes) -> tuple[int, str]:
  """(exit code, all that it wrote) of a command that is sent `keys` when `until` has been read."""
  process, screen = pty.fork()
  if not process:
    os.chdir(ROOT)
    os.environ.update(JAX_PLATFORMS='cpu', XLA_FLAGS=os.environ.get('R1JAX_TEST_XLA_FLAGS', ''))
    os.execv(argv[0], argv)
  fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack('HHHH', 24, COLUMNS, 0, 0))
  written, sent, end = b'', False, time.monotonic() + 240
  while time.monotonic() < end:
    if not select.select([screen], [], [], 1.0)[0]:
      continue
    try:
      more = os.read(screen, 1 << 16)
    except OSError:  # Linux says so when nobody has the other side open any more
      break
    if not more:
      break
    written += more
    if not sent and re.search(until, written):
      os.write(screen, keys)
      sent = True
  else:
    os.kill(process, signal.SIGKILL)
  code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
  os.close(screen)
  assert sent, written[-2000:]
  return code, written.decode()


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
  """(a work dir, what the start that Ctrl-C ended wrote on a terminal, what the next one to a pipe, its log)."""
  workdir = tmp_path_factory.mktemp('talk') / 'run'
  code, screen = in_a_terminal(command(workdir), rb'base [1-9]\d*/60', b'\x03')
  assert code == 130, screen[-2000:]
  done = subprocess.run(command(workdir), cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
                        env={**os.environ, 'JAX_PLATFORMS': 'cpu'})
  assert done.returncode == 0, done.stderr[-2000:]
  return workdir, screen, done.stdout, done.stderr


def test_on_a_terminal_one_line_is_rewritten_and_none_wraps(ran):
  _, screen, *_ = ran
  rows = [row for line in screen.replace('\r\n', '\n').split('\n') for row in re.sub(r'\x1b\[K', '', line).split('\r')]
  live = [row for row in rows if re.match(r'base \d+/60', row)]
  assert live and all(len(row) < COLUMNS for row in live)
  assert re.search(r'base \d+/60  \d+%  .* left  loss [\d.]+  [\d,]+ tokens/s', live[-1])
  assert 'stage 1 of 3: base' in rows and any('base: compiling the update: ' in row for row in rows)
  assert screen.count('\nbase ') < len(live)  # it is rewritten, and no line of its own each time


def test_ctrl_c_says_what_happens_and_saves(ran):
  workdir, screen, *_ = ran
  assert 'stopping after this chunk, with its state saved; Ctrl-C again kills it at once' in screen
  assert re.search(r'r1jax: base stopped at step \d+; the same command goes on', screen)
  assert 'Traceback' not in screen


def test_the_next_start_says_where_it_goes_on_and_what_it_does(ran):
  workdir, screen, out, log = ran
  step = re.search(r'stopped at step (\d+)', screen)[1]
  assert f'base: resuming at step {step} of 60, from {workdir}/1_base/checkpoints/{step}' in log
  for said in ('stage 1 of 3: base, begun before', 'stage 2 of 3: rl', 'rl: compiling sampler and update ...',
               'rl: compiling sampler and update: ', 'stage 2 of 3: rl: done in', 'stage 3 of 3: evaluate',
               'evaluate 1 of 3: base: pass@1', 'writing the report'):
    assert said in log, said
  assert 'WARNING:' not in log and 'INFO:' not in log and '\r' not in log + out and '\x1b' not in log + out
  assert re.search(r'^rl 8/8  100%  0 s left  accuracy \S+  length \S+  \S+ tokens/s$', out, re.M)


def test_at_the_end_stand_the_results_and_where_the_report_is(ran):
  workdir, _, out, _ = ran
  scores = json.loads((workdir / '3_evaluate/eval/chain_sum/scores.json').read_text())
  wanted = (f'{scores["pass@1"]:.3f} ± {scores["pass@1_stderr"]:.3f}', f'{scores["cons@4"]:.3f}',
            f'{scores["length_tokens"]:,.0f}')
  final = next(line for line in out.splitlines() if line.startswith('final'))
  assert tuple(re.split(r' {2,}', final)[1:]) == wanted
  assert out.rstrip().endswith(f'report: {workdir}/report/index.html')
  page = workdir / 'report/index.html'
  made = page.stat().st_mtime_ns
  again = subprocess.run(command(workdir), cwd=ROOT, capture_output=True, text=True, timeout=200, check=True,
                         env={**os.environ, 'JAX_PLATFORMS': 'cpu'})
  table = out[out.index('\nchain_sum'):]
  assert again.stdout == table and all(len(line) <= COLUMNS for line in table.splitlines())
  assert page.stat().st_mtime_ns == made  # nothing has changed, and nobody waits for it


def test_every_start_is_in_environment_json(ran):
  workdir, *_ = ran
  starts = json.loads((workdir / 'environment.json').read_text())['starts']
  assert len(starts) >= 2
  for start in starts:
    assert start['command'].startswith('python -m r1jax.main --config=experiments/r1_zero.py:tiny --workdir=')
    assert (start['config'], start['seed'], start['platform']) == ('experiments/r1_zero.py:tiny', 0, 'cpu')
    assert start['packages']['jax'] and start['cpu_count'] == os.cpu_count()
  assert starts[0]['started'] < starts[1]['started']
