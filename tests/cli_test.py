"""The command line: help and lists without jax, names from anywhere, and wrong lines, which leave nothing behind."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from r1jax import cli
from r1jax import configs
from r1jax import sweep
from r1jax.exceptions import UserError
import wrong_lines

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = [line for line in wrong_lines.LINES.splitlines() if line]


def run(*args, cwd=None, env=None):
  return subprocess.run([sys.executable, '-m', 'r1jax', *args], cwd=cwd, capture_output=True, text=True, check=False,
                        env={**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', **(env or {})})


def test_help_is_a_screen_and_imports_no_jax(capsys):
  for args in ([], ['--help'], ['-h']):
    assert cli.main(['r1jax', *args]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in cli.COMMANDS) and out.count('\n') < 40
    assert max(map(len, out.splitlines())) <= 120
  code = "import sys\nfrom r1jax import cli\ncli.main(['r1jax'])\ncli.main(['r1jax', 'configs'])\nassert 'jax' not in sys.modules"
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize('command', [name for name in cli.COMMANDS if name != 'configs'])
def test_every_command_helps(command, tmp_path):
  done = run(command, '--help', cwd=tmp_path)
  assert done.returncode == 0 and not done.stderr, done.stderr
  assert '--' in done.stdout and '\n  ' in done.stdout and 'python -m r1jax COMMAND' not in done.stdout
  assert not list(tmp_path.iterdir())


def test_configs_are_found_by_name_and_by_path(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'mine.py').write_text('from r1jax.experiments import r1_zero\n\n\ndef get_config():\n'
                                    "  config = r1_zero.get_config('tiny')\n  config.seed = 5\n  return config\n")
  assert configs.config('mine.py').seed == 5 and configs.config('r1_zero:tiny').name == 'r1_zero_tiny'
  assert cli.main(['r1jax', 'configs', 'r1_zero:tiny']) == 0
  assert '--config.rl.steps=80\n' in capsys.readouterr().out
  assert cli.main(['r1jax', 'configs', 'r1_zero:qwen2.5-0.5b']) == 0
  last = capsys.readouterr().out.splitlines()
  assert '# on v5e:2x4: as it is' in last
  assert last[-1].startswith('# on t4:1x1 LoRA: --config.mesh.fsdp=1 --config.mesh.tensor=1 --config.rl.micro_tokens=')
  assert last[-1].endswith(' (environment: XLA_PYTHON_CLIENT_MEM_FRACTION=0.95)')
  assert cli.main(['r1jax', 'configs', 'search']) == 0
  assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
      f'search:{arg}' for arg in ('prm', 'mcts', 'prm-qwen2.5-7b', 'mcts-qwen2.5-7b')]
  with pytest.raises(UserError, match="no config 'r2': one of bench, distill, evaluate, objectives, r1, r1_zero, "):
    configs.find('r2:tiny')
  with pytest.raises(UserError, match='no config file experiments/r1.py: r1:tiny is the one that comes with the package'):
    configs.find('experiments/r1.py:tiny')
  with pytest.raises(UserError, match='no config file experiments/sweep.py: r1jax sweep '):
    configs.find('experiments/sweep.py')
  with pytest.raises(UserError, match='no config file my.py: r1jax configs lists those that there are'):
    configs.find('my.py')


@pytest.mark.parametrize('args, wanted', [
    (['r1_zero:tiny', '--check'], ['--config=r1_zero:tiny', '--check']),
    (['--fit', 'r1_zero:tiny', '--json'], ['--config=r1_zero:tiny', '--fit', '--json']),
    (['--workdir=w', 'recipes:gsm8k-0.5b'], ['--config=recipes:gsm8k-0.5b', '--workdir=w']),
    (['--workdir', 'bench', 'r1:tiny'], ['--config=r1:tiny', '--workdir', 'bench']),
    (['my.py:x', '--workdir', 'r1:tiny'], ['--config=my.py:x', '--workdir', 'r1:tiny']),
    (['--config=my.py', 'r1:tiny'], ['--config=my.py', 'r1:tiny']),  # refused as an unexpected argument
    (['--config', 'r1:tiny', '--check'], ['--config', 'r1:tiny', '--check']),
    (['--config.rl.task.source', 'jsonl:x', '--check'], ['--config.rl.task.source', 'jsonl:x', '--check']),
    ([], [])])
def test_a_config_is_found_wherever_it_stands(args, wanted):
  assert cli._with_config(args) == wanted


def test_print_config_shows_what_is_given_and_claims_nothing(tmp_path):
  done = run('train', 'r1_zero:tiny', '--print_config', '--config.rl.steps=6', '--workdir=w', cwd=tmp_path)
  assert done.returncode == 0 and '--config.rl.steps=6\n' in done.stdout and not list(tmp_path.iterdir())


@pytest.fixture(scope='module')
def said(tmp_path_factory):
  place = tmp_path_factory.mktemp('lines')
  done = subprocess.run([sys.executable, str(ROOT / 'tests' / 'wrong_lines.py')], cwd=place, capture_output=True,
                        text=True, check=False, env={
                            **os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''})
  assert done.returncode == 0, done.stderr
  return {found['line']: found for found in map(json.loads, done.stdout.splitlines())}


def test_the_lines_are_many():
  assert len(set(LINES)) == len(LINES) >= 60


@pytest.mark.parametrize('line', LINES)
def test_a_wrong_line_is_one_line_with_the_way_out(said, line):
  found = said[line]
  # Beside the line itself, only what a start says of itself before it looks: 'r1jax: ' is the mistake.
  wrong = [text for text in found['err'].splitlines() if text.startswith('r1jax: ')]
  assert found['code'] == 2 and len(wrong) == 1 and 'Traceback' not in found['err'], found
  assert len(wrong[0]) > 20 and not found['left'], found


def test_a_config_may_have_a_sweep_of_its_own(tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text("""
def get_config(arg):
  raise AssertionError

def sweep(add):
  for kl in (0.0, 0.1):
    add('tiny', **{'rl.kl_coef': kl})
  add('large')
""")
  tiny = [{'': 'tiny', 'rl.kl_coef': '0.0'}, {'': 'tiny', 'rl.kl_coef': '0.1'}]
  assert sweep.added(str(path)) == [*tiny, {'': 'large'}]
  assert sweep.added(str(path), 'tiny') == tiny
  assert sweep.added(f'{path}:tiny') == [{}]  # one of them
  with pytest.raises(UserError, match="--only=huge: the sweep of .* has no 'huge', but tiny, large"):
    sweep.added(str(path), 'huge')
  with pytest.raises(UserError, match="--only=a: the sweep of .* has no 'a'$"):
    sweep.added(configs.find('r1_zero:tiny'), 'a')
  path.write_text("def get_config():\n  pass\n\ndef sweep(add):\n  add(**{'rl.kl_coef': 0.5})\n  raise KeyError('lr')\n")
  with pytest.raises(UserError, match=r"sweep\(add\) of .*mine.py failed \(.*KeyError: 'lr'"):
    sweep.added(str(path))
  path.write_text(path.read_text().partition('  raise')[0])
  assert sweep.added(str(path)) == [{'': '', 'rl.kl_coef': '0.5'}]
  assert sweep.folder({**tiny[1], 'seed': '1'}, ['', 'rl.kl_coef', 'seed']) == 'tiny__kl_coef=0.1__seed=1'
  assert sweep.folder({'': 'large', 'seed': '1'}, ['', 'rl.kl_coef', 'seed']) == 'large__seed=1'


@pytest.mark.parametrize('part, ran', [('1/1', [1, 2, 3, 4]), ('1/3', [1, 4]), ('3/3', [3])])
def test_a_sweep_runs_its_part_in_order_and_makes_one_page(tmp_path, monkeypatch, capsys, part, ran):
  calls, codes = [], {}

  def call(args, **_):
    calls.append(args)
    return subprocess.CompletedProcess(args, codes.get(args[-1].rpartition('=')[2], 0), '', 'r1jax: what is wrong')

  monkeypatch.setattr(sweep.subprocess, 'run', call)
  monkeypatch.setattr(sweep, '_code_of', lambda args, **to: call(args).returncode)
  args = ['sweep', '--config=r1_zero:tiny', f'--workdir={tmp_path}', '--seeds=2', '--config.rl.kl_coef=0,0.1',
          f'--part={part}']
  assert sweep.main(args) == 0
  folders = [os.path.basename(args[-1]) for args in calls if 'r1jax.main' in args and '--check' not in args]
  assert [line.partition(':')[0] for line in capsys.readouterr().out.splitlines() if line.startswith('run ')] == [
      f'run {i} of 4' for i in ran] and len(folders) == len(ran)
  looked = [os.path.basename(args[-1]) for args in calls if '--check' in args]  # of two seeds at one
  assert looked == (folders[::2] if part == '1/1' else folders)
  assert all('--check' in args for args in calls[:len(looked)])  # before the first begins
  if part == '1/1':
    assert f'--out={tmp_path / "report"}' in calls[-1]  # beside the runs, in none of them
  assert ['r1jax.report' in args for args in calls][-1] == (part == '1/1')  # by hand where others have the rest


def test_a_run_s_folder_has_one_name_whatever_only_keeps(tmp_path, monkeypatch):
  path, ran = tmp_path / 'mine.py', []
  path.write_text("def get_config(arg=''):\n  pass\n\ndef sweep(add):\n  add('a')\n  add('b', **{'rl.steps': 2})\n")
  monkeypatch.setattr(sweep.subprocess, 'run', lambda args, **_: subprocess.CompletedProcess(args, 0))
  monkeypatch.setattr(sweep, '_code_of', lambda args, **to: 0 if '--check' in args else (
      ran.append(os.path.basename(args[-1])) or 0))
  for only in ('', 'b'):
    assert sweep.main(['sweep', f'--config={path}', f'--workdir={tmp_path / "runs"}', f'--only={only}']) == 0
  assert ran == ['a', 'b__steps=2', 'b__steps=2']


def test_a_sweep_that_is_looked_at_begins_no_run(monkeypatch, tmp_path, capsys):
  calls = []
  monkeypatch.setattr(sweep, '_code_of', lambda args, **to: calls.append(args) or 0)
  assert sweep.main(['', '--config=r1_zero:tiny', f'--workdir={tmp_path}', '--config.rl.steps=1,2', '--check']) == 0
  assert len(calls) == 2 and all('--check' in args for args in calls) and not os.listdir(tmp_path)
  assert 'nothing stands in the way' in capsys.readouterr().out
  assert sweep.main(['', '--config=r1_zero:tiny', f'--workdir={tmp_path}', '--look']) == 2
  assert 'takes --workdir, --seeds, --only, --part, --check and --config.KEY' in capsys.readouterr().err


def test_a_sweep_ends_with_the_first_run_that_fails(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(sweep.subprocess, 'run', lambda args, **_: subprocess.CompletedProcess(args, 0))
  monkeypatch.setattr(sweep, '_code_of', lambda args, **to: 0 if '--check' in args else 5)
  args = ['sweep', '--config=r1_zero:tiny', f'--workdir={tmp_path}', '--seeds=2']
  assert sweep.main(args) == 5
  assert 'the sweep ends at seed=0, exit code 5; the same command goes on' in capsys.readouterr().err
  assert sweep.main([*args, '--part=3/2']) == 2 and '--part=3/2: I/N' in capsys.readouterr().err


def test_a_sweep_refuses_what_a_run_refuses_before_the_first_begins(tmp_path):
  """Values that are each well and do not go together, in the last of its runs."""
  done = run('sweep', 'r1_zero:tiny-rl', '--workdir=w', '--config.rl.steps=8,9', '--config.rl.minibatches=2',
             cwd=tmp_path)
  assert done.returncode == 2 and not list(tmp_path.iterdir())
  assert 'rl.steps=9' in done.stderr and '(run 2 of 2: steps=9)' in done.stderr and done.stderr.count('r1jax: ') == 1


@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_stops_a_sweep_stops_the_run_and_waits_for_it(tmp_path, number, code):
  """The run saves its state, for longer than subprocess.run would let it, and is not left behind."""
  child = tmp_path / 'child.py'
  child.write_text(f"""
import pathlib, signal, sys, time

def stop(*_):
  time.sleep(1.0)
  pathlib.Path({str(tmp_path / 'saved')!r}).touch()
  sys.exit(143)

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
pathlib.Path({str(tmp_path / 'begun')!r}).touch()
time.sleep(60)
""")
  parent = subprocess.Popen([sys.executable, '-c', 'import sys; from r1jax import sweep; '
                             f'sys.exit(sweep._code_of([sys.executable, {str(child)!r}]))'], start_new_session=True)
  end = time.monotonic() + 60
  while not (tmp_path / 'begun').exists():
    assert time.monotonic() < end and parent.poll() is None
    time.sleep(0.02)
  (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)  # Ctrl-C reaches both
  assert parent.wait(timeout=30) == code and (tmp_path / 'saved').exists()


def test_what_a_sweep_chooses():
  assert sweep.choices(['--config.rl.kl_coef=0,0.1', '--config.rl.steps=4', '--config.mesh={"a": 1, "b": 2}'], 2) == [
      {'rl.kl_coef': kl, 'rl.steps': '4', 'mesh': '{"a": 1, "b": 2}', 'seed': seed} for kl in ('0', '0.1') for seed in '01']
  assert sweep.choices([], 1) == [{}] and sweep.folder({}, []) == 'run'
  assert sweep.folder({'rl.kl_coef': '0.1', 'seed': '1'}, ['rl.kl_coef', 'seed']) == 'kl_coef=0.1__seed=1'
