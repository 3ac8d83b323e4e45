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
from r1jax import stopping
from r1jax import summary
from r1jax import terminal

import chaos

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 80
ENV = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}  # one device


def command(workdir, **overrides):
  values = {**chaos.SMALL, 'rl.eval_every': 0, 'base.steps': 60, **overrides}
  return [sys.executable, '-m', 'r1jax.main', '--config=experiments/r1_zero.py:tiny', f'--workdir={workdir}',
          *(f'--config.{key}={value}' for key, value in values.items())]


def in_a_terminal(argv, until: bytes, keys: bytes) -> tuple[int, str]:
  """(exit code, all that it wrote) of a command that is sent `keys` when `until` has been read."""
  process, screen = pty.fork()
  if not process:
    os.chdir(ROOT)
    os.execve(argv[0], argv, ENV)
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
                        env=ENV)
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
                         env=ENV)
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
    assert start['packages']['jax'] and start['cpu_count'] == os.cpu_count() and start['cpu']
  assert starts[0]['started'] < starts[1]['started']


# --- the parts, alone


class Screen(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def logged(capsys):
  """() -> what a command's log has put on stderr, which is a file."""
  root = logging.getLogger()
  handlers, level, ours = list(root.handlers), root.level, terminal.log.level
  terminal.use()
  yield lambda: capsys.readouterr().err
  terminal.settle()
  root.handlers, root.level = handlers, level
  terminal.log.setLevel(ours)


def test_log_lines_have_no_noise_and_warnings_their_name(logged):
  logging.basicConfig(format='%(levelname)s:%(name)s:%(message)s')  # as some library may call it
  terminal.log.info('stage 1 of 3: base')
  terminal.log.warning('%d rows are left out', 3)
  logging.getLogger('orbax').warning('hm')
  logging.getLogger('orbax').info('not shown')
  assert logged().splitlines() == ['stage 1 of 3: base', 'warning: 3 rows are left out', 'orbax: warning: hm']


def test_what_several_looks_come_upon_is_written_once(logged):
  for text in ('as there', 'as there', 'not so'):
    terminal.log.info('%s', text, extra=terminal.ONCE)
    terminal.log.info('again')
  assert logged().splitlines() == ['as there', 'again', 'again', 'not so', 'again']


def test_a_handler_of_a_library_goes_and_is_not_doubled(logged):
  logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
  terminal.use()
  terminal.log.info('once')
  assert logged() == 'once\n'


def test_what_takes_long_is_said_again_and_again(logged, monkeypatch):
  monkeypatch.setattr(terminal, 'EVERY', 0.5)
  with terminal.doing('compiling'):
    terminal.now('3 of 7')
    time.sleep(2.5)
  lines = logged().splitlines()
  assert lines[0] == 'compiling ...' and lines[-1] in ('compiling: 2 s', 'compiling: 3 s')
  assert len(lines) >= 3 and all(re.fullmatch(r'compiling \.\.\. \d s, 3 of 7', line) for line in lines[1:-1])


def test_a_log_line_passes_above_the_live_line(logged, monkeypatch):
  screen = Screen()
  monkeypatch.setattr(sys, 'stderr', screen)
  progress = terminal.Progress(4, 'rl', None, screen)
  progress.update(1, accuracy=0.5)
  terminal.log.warning('look')
  progress.close()
  shown, cut = 'rl 1/4  25%  ? left  accuracy 0.5', '\x1b[K'
  assert screen.getvalue() == f'\r{shown}{cut}\r{cut}warning: look\n\r{shown}{cut}\r{shown}{cut}\n'


def test_a_step_that_takes_long_says_what_it_does(monkeypatch):
  stream = io.StringIO()
  progress = terminal.Progress(4, 'rl', None, stream, every_seconds=1.0, activity=lambda: 'sampling').start(2)
  try:
    time.sleep(4.2)
  finally:
    progress.close()
  assert re.search(r'^rl 2/4  50%  \? left  sampling \d s$', stream.getvalue(), re.M), stream.getvalue()


def test_a_second_ctrl_c_kills_at_once():
  # A job in the background of a shell is begun with SIGINT ignored, and leaves it so: not the case that is tried.
  script = ('import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n'
            'from r1jax import errors; errors.stop_on_signals(); print("ready", flush=True)\n'
            'while True: time.sleep(0.1)')
  process = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=ENV, cwd=ROOT)
  try:
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGINT)
    assert 'Ctrl-C again kills it at once' in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT
  finally:
    process.kill()
    process.communicate()


@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 143), (signal.SIGINT, 130), (None, 143)])
def test_the_exit_code_says_who_has_asked(capsys, number, code):
  def stopped():
    raise stopping.Stopped('rl stopped at step 3')

  stopping.requested.by = number
  try:
    assert errors.run(stopped) == code
  finally:
    stopping.requested.clear()
  assert capsys.readouterr().err == 'r1jax: rl stopped at step 3; the same command goes on\n'


def test_environment_json_never_stops_a_run(tmp_path, monkeypatch, caplog):
  path = tmp_path / 'environment.json'
  path.write_text('{"starts": [')  # torn
  monkeypatch.setenv('PATH', '')  # no git
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-u', '/usr/bin/r1jax', 'train', 'r1_zero:tiny', '--workdir=a b'])
  environment.note(str(tmp_path), seed=3)
  environment.note(str(tmp_path), seed=4)
  starts = json.loads(path.read_text())['starts']
  assert [start['seed'] for start in starts] == [3, 4] and 'begun anew' in caplog.text
  assert (starts[0]['commit'], starts[0]['dirty']) == (None, None)
  assert starts[0]['command'] == "r1jax train r1_zero:tiny '--workdir=a b'" and starts[0]['config'] == 'r1_zero:tiny'
  environment.note(str(tmp_path / 'nowhere' / '\0'), seed=5)
  assert 'is not written' in caplog.text


@pytest.mark.parametrize('before, now, said', [
    ((1, 4), (2, 8), 'was on 1 host with 4 devices in all, now on 2 hosts with 8 devices in all'),
    ((2, 8), (2, 2), 'was on 2 hosts with 8 devices in all, now on 2 hosts with 2 devices in all'),
    ((1, 1), (1, 1), ''), ((None, None), (2, 2), '')])
def test_a_run_says_on_what_it_goes_on(before, now, said):
  found = environment.moved(*(dict(zip(('hosts', 'devices'), each)) for each in (before, now)))
  assert said in found and bool(said) == bool(found)
  assert environment.moved({}, dict(hosts=1, devices=1)) == ''  # an older version's


def test_the_table_of_results_is_no_wider_than_a_terminal(tmp_path):
  long_ = 'a_task_whose_name_is_longer_than_anybody_would_want_it_to_be_on_a_terminal'
  (tmp_path / '1_evaluate').mkdir()
  rows = [{'step': 1, 'stage': 'evaluate', 'model': model, f'eval/{long_}/pass@1': 0.25,
           f'eval/{long_}/length_tokens': 12345.0} for model in ('base', 'final')]
  (tmp_path / '1_evaluate/metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  (tmp_path / 'pipeline.json').write_text(json.dumps({'stages': [
      {'name': 'evaluate', 'directory': '1_evaluate', 'run': 'evaluate', 'seconds': 200.0}]}))
  lines = summary.text(str(tmp_path)).splitlines()
  assert max(map(len, lines)) <= COLUMNS
  assert [re.split(r' {2,}', line) for line in lines if line.startswith('final')] == [['final', '0.250 ± -', '12,345']]
  assert any(re.split(r' {2,}', line) == ['1_evaluate', '3 min 20 s'] for line in lines)
