"""The command's own part: hosts, the cache of compiled programs, and traces of single steps."""

import logging
import os
import pathlib
import subprocess
import sys

import jax
import pytest


from r1jax.engine import compile_cache
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import precision
from r1jax.engine import profile
from r1jax.exceptions import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def joined(monkeypatch):
  """The arguments of jax.distributed.initialize, where it is called; and an environment of one process."""
  calls = []
  monkeypatch.setattr(jax.distributed, 'initialize', lambda *args, **_: calls.append(args))
  for name in list(os.environ):
    if name.startswith(('JAX_COORDINATOR', 'TPU_', 'MEGASCALE_', 'SLURM_', 'OMPI_', 'KUBERNETES_', 'JOB_')):
      monkeypatch.delenv(name)
  return calls


SLURM = {'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '4'}


@pytest.mark.parametrize('env, args, said', [
    ({}, None, 'this process alone'),
    ({'JAX_COORDINATOR_ADDRESS': 'a:1', 'JAX_NUM_PROCESSES': '2', 'JAX_PROCESS_ID': '1'}, ('a:1', 2, 1),
     'process 1 of 2, coordinator a:1'),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, None, 'this process alone'),
    ({'TPU_WORKER_HOSTNAMES': 't0,t1'}, (), 'TPU_WORKER_HOSTNAMES is set'),
    ({'TPU_WORKER_HOSTNAMES': 't0', 'MEGASCALE_NUM_SLICES': '2'}, (), 'MEGASCALE_NUM_SLICES is set'),
    (SLURM, None, 'this process alone'),  # the shell of salloc
    ({**SLURM, 'SLURM_STEP_NODELIST': 'n[1-4]'}, (), 'SLURM_NTASKS is set'),
    ({**SLURM, 'SLURM_NTASKS': '1', 'SLURM_STEP_NODELIST': 'n1'}, None, 'this process alone'),
    ({'OMPI_COMM_WORLD_SIZE': '2'}, (), 'OMPI_COMM_WORLD_SIZE is set'),
    ({'OMPI_COMM_WORLD_SIZE': '1'}, None, 'this process alone'),
    ({'KUBERNETES_SERVICE_HOST': '10.0.0.1'}, None, 'this process alone'),
    ({'KUBERNETES_SERVICE_HOST': '10.0.0.1', 'JOB_COMPLETION_INDEX': '0'}, (), 'JOB_COMPLETION_INDEX is set'),
    ({'OMPI_COMM_WORLD_SIZE': '2', 'JAX_COORDINATOR_ADDRESS': ''}, None, 'this process alone'),
])
def test_hosts_are_found_where_the_environment_shows_them(joined, monkeypatch, caplog, env, args, said):
  for name, value in env.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(hosts.importlib.util, 'find_spec', lambda name: name)
  with caplog.at_level(logging.INFO, 'r1jax'):
    hosts.join()
  assert joined == ([] if args is None else [args])
  assert [said in message for message in caplog.messages] == [True]


def test_pods_of_kubernetes_need_a_package(joined, monkeypatch):
  monkeypatch.setenv('KUBERNETES_SERVICE_HOST', '10.0.0.1')
  monkeypatch.setenv('JOB_COMPLETION_INDEX', '0')
  monkeypatch.setattr(hosts.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'r1jax\[k8s\]'.* the first to nothing for one pod"):
    hosts.join()
  assert joined == []


@pytest.mark.parametrize('env, ids', [
    ({'SLURM_TASKS_PER_NODE': '1(x2)', 'SLURM_GPUS_ON_NODE': '4'}, '0,1,2,3'),
    ({'SLURM_TASKS_PER_NODE': '1', 'SLURM_GPUS_ON_NODE': '8'}, '0,1,2,3,4,5,6,7'),
    ({'SLURM_TASKS_PER_NODE': '1', 'SLURM_GPUS_ON_NODE': '1'}, None),
    ({'SLURM_TASKS_PER_NODE': '4(x2)', 'SLURM_GPUS_ON_NODE': '4'}, None),  # a process a GPU
    ({'SLURM_TASKS_PER_NODE': '1,2', 'SLURM_GPUS_ON_NODE': '4'}, None), ({'SLURM_TASKS_PER_NODE': '1'}, None),
    ({'SLURM_TASKS_PER_NODE': '1', 'SLURM_GPUS_ON_NODE': '4', 'JAX_LOCAL_DEVICE_IDS': '0,1'}, '0,1'),
])
def test_a_process_that_is_alone_on_its_node_takes_all_its_gpus(joined, monkeypatch, env, ids):
  """JAX by itself would take one, where SLURM says who is who."""
  monkeypatch.setenv('JAX_LOCAL_DEVICE_IDS', '')  # so that it is taken away again
  monkeypatch.delenv('JAX_LOCAL_DEVICE_IDS')
  for name, value in {**SLURM, 'SLURM_STEP_NODELIST': 'n[1-4]', **env}.items():
    monkeypatch.setenv(name, value)
  hosts.join()
  assert joined == [()] and os.environ.get('JAX_LOCAL_DEVICE_IDS') == ids


def test_a_tpu_vm_is_asked_for_its_hosts(joined, monkeypatch):
  """No variable names them; JAX sets TPU_ML_PLATFORM where it finds chips."""
  monkeypatch.setenv('TPU_ML_PLATFORM', 'JAX')
  hosts.join()
  assert joined == []  # the platform is cpu here
  jax.config.update('jax_platforms', 'tpu,cpu')
  try:
    hosts.join()
  finally:
    jax.config.update('jax_platforms', 'cpu')
  assert joined == [()]


def test_hosts_that_cannot_be_joined_are_one_line(joined, monkeypatch):
  def fail(**_):
    raise ValueError('coordinator_address should be defined.\nmore')

  monkeypatch.setattr(jax.distributed, 'initialize', fail)
  monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
  with pytest.raises(UserError, match='OMPI_COMM_WORLD_SIZE .* should be defined.*JAX_COORDINATOR_ADDRESS') as error:
    hosts.join()
  assert '\n' not in str(error.value)


@pytest.fixture
def cache(monkeypatch):
  """What jax is told of its cache; the suite's own stays as it is."""
  told = {}
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  monkeypatch.setattr(jax.config, 'update', told.__setitem__)
  return told


def test_compiled_programs_are_kept_in_the_users_cache(cache, monkeypatch, tmp_path, caplog):
  caplog.set_level(logging.INFO, 'r1jax')
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  compile_cache.use('auto')
  assert cache.pop('jax_compilation_cache_dir') == str(tmp_path / 'home/.cache/r1jax/xla')
  assert set(cache) == {'jax_persistent_cache_min_compile_time_secs', 'jax_persistent_cache_min_entry_size_bytes'}
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
  compile_cache.use('auto')
  assert cache['jax_compilation_cache_dir'] == str(tmp_path / 'xdg/r1jax/xla')
  compile_cache.use(str(tmp_path / 'own'))
  assert cache['jax_compilation_cache_dir'] == str(tmp_path / 'own') and (tmp_path / 'own').is_dir()
  assert len(caplog.messages) == 3 and str(tmp_path / 'own') in caplog.messages[-1]


def test_compiled_programs_are_kept_nowhere(cache, monkeypatch, tmp_path, caplog):
  """Where the setting is empty, the directory refuses, or JAX's own variable names another."""
  (tmp_path / 'file').write_text('')
  compile_cache.use(str(tmp_path / 'file/below'))
  assert len(caplog.records) == 1 and 'cannot be written to (Not a directory)' in caplog.messages[0]
  compile_cache.use('')
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', 'elsewhere')
  compile_cache.use('auto')
  assert cache == {}


@pytest.mark.parametrize('platform, dtype, named, set_to, said', [
    ('gpu', 'float32', None, 'highest', 'at full precision'), ('tpu', 'float32', None, 'highest', 'at full precision'),
    ('gpu', 'float32', 'tensorfloat32', None, 'JAX_DEFAULT_MATMUL_PRECISION=tensorfloat32'),
    ('gpu', 'bfloat16', None, None, ''), ('cpu', 'float32', None, None, '')])
def test_float32_is_multiplied_as_float32(monkeypatch, caplog, platform, dtype, named, set_to, said):
  found = {}
  monkeypatch.setattr(jax, 'default_backend', lambda: platform)
  monkeypatch.setattr(jax.config, 'update', lambda key, value: found.update({key: value}))
  monkeypatch.delenv('JAX_DEFAULT_MATMUL_PRECISION', raising=False)
  if named:
    monkeypatch.setenv('JAX_DEFAULT_MATMUL_PRECISION', named)
  with caplog.at_level(logging.INFO):
    precision.use(dtype)
  assert found.get('jax_default_matmul_precision') == set_to and said in caplog.text
  assert bool(said) == bool(caplog.text)


@pytest.mark.parametrize('platforms, there, cpu', [
    ('cpu', '/dev/nvidia0', True), ('cpu,cuda', '', True), ('cuda', '', False), ('', '/dev/nvidia0', False),
    ('', '/dev/accel0', False), ('', '', True)])
def test_freed_memory_is_kept_on_a_cpu_alone(monkeypatch, platforms, there, cpu):
  from r1jax import main
  monkeypatch.setenv('JAX_PLATFORMS', platforms)
  monkeypatch.setattr(os.path, 'exists', lambda path: path == there)
  assert main._computes_on_cpu() == cpu


@pytest.mark.parametrize('text', ['', '3', '5:3', 'a:b', '3:', ':5', '-1:2', '3:5:7', '1.5:2'])
def test_nonsense_names_no_steps(text):
  with pytest.raises(UserError, match='give FIRST:LAST'):
    profile.parse(text)


@pytest.fixture
def profiler(monkeypatch):
  calls = []
  monkeypatch.setattr(jax.profiler, 'start_trace', lambda directory: calls.append(directory))
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: calls.append('stopped'))
  return calls


@pytest.mark.parametrize('first, steps, ends, begins', [
    (1, 7, 5, 3),
    (4, 6, 5, 4),  # a run that goes on within them
    (6, 7, None, None),  # behind them
    (1, 4, 'close', 3),  # it has no more
])
def test_a_trace_is_of_the_steps_asked_for(profiler, caplog, first, steps, ends, begins):
  caplog.set_level('INFO', 'r1jax')
  trace, began, ended = profile.Trace(*profile.parse('3:5'), 'place'), None, None
  for step in range(first, steps + 1):
    trace.at(step)
    began = began or ('place' in profiler and step) or None
    trace.behind(step, jax.numpy.ones(2))
    ended = ended or ('stopped' in profiler and step) or None
  trace.close()
  trace.at(4)
  assert (began, ended or ('close' if 'stopped' in profiler else None)) == (begins, ends)
  assert len(profiler) == (2 if begins else 0)
  assert ('nothing is traced' in caplog.text) == (begins is None)


def test_a_trace_is_ended_whatever_happens(profiler, monkeypatch):
  monkeypatch.setattr(profile, 'steps', (1, 9))
  trace = profile.trace('place')
  trace.at(1)
  trace.close()
  trace.close()
  assert profiler == ['place', 'stopped']
  monkeypatch.setattr(profile, 'steps', None)
  none = profile.trace('place')
  none.at(1)
  none.close()
  assert profiler == ['place', 'stopped']


def test_a_trace_is_on_disk(tmp_path):
  """jax's own profiler, stopped by close() within the steps asked for."""
  trace = profile.Trace(1, 9, tmp_path / 'profile')
  trace.at(1)
  jax.block_until_ready(jax.numpy.ones(8) + 1)
  trace.close()
  assert list((tmp_path / 'profile').rglob('*.xplane.pb'))


@pytest.mark.parametrize('way', ['killed behind the last step', 'a lost host'])
def test_a_run_that_is_killed_leaves_a_trace(tmp_path, way):
  """Which the profiler's own reader reads."""
  lines = ['import os, signal, jax', 'from r1jax.engine import hosts, profile',
           f'trace = profile.Trace(3, 5, {str(tmp_path / "profile")!r})', 'for step in range(1, 9):',
           '  trace.at(step)', '  x = jax.jit(lambda x: x @ x)(jax.numpy.ones((64, 64)))']
  lines += (['  trace.behind(step, x)', '  if step == 6:', '    os.kill(os.getpid(), signal.SIGKILL)']
            if way.startswith('killed') else ['  if step == 4:', '    hosts.end_now("host 1 is gone", hosts.LOST)'])
  done = subprocess.run([sys.executable, '-c', '\n'.join(lines)], cwd=ROOT, check=False, capture_output=True, text=True,
                        env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert done.returncode == (-9 if way.startswith('killed') else 5), done.stderr
  [found] = (tmp_path / 'profile').rglob('*.xplane.pb')
  read = jax.profiler.ProfileData.from_file(str(found))
  assert sum(len(list(line.events)) for plane in read.planes for line in plane.lines) > 10


@pytest.mark.parametrize('flag, said', [('--profile=5:3', 'names no optimiser steps'), ('--profile', 'profile')])
def test_on_the_command_line_it_is_one_line(tmp_path, flag, said):
  command = [sys.executable, '-m', 'r1jax.main', '--config=experiments/r1_zero.py:tiny', f'--workdir={tmp_path}/run']
  out = subprocess.run([*command, flag], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
  lines = [line for line in out.stderr.splitlines() if line.startswith('r1jax: ')]
  assert out.returncode == 2 and len(lines) == 1 and said in lines[0], out.stderr[-2000:]
  assert 'Traceback' not in out.stderr


def start(program, *flags, **env):
  """main with a pipeline.run of the test's own."""
  before = 'import sys; import jax; from r1jax import main, pipeline; from r1jax.engine import profile\n'
  command = [sys.executable, '-c', f'{before}{program}\npipeline.run = run; sys.exit(main.main(sys.argv))']
  env = {**{name: value for name, value in os.environ.items() if name != 'JAX_COMPILATION_CACHE_DIR'}, **env}
  return subprocess.run([*command, '--config=experiments/r1_zero.py:tiny', '--workdir=W', *flags], cwd=ROOT, env=env,
                        capture_output=True, text=True, timeout=100, check=False)


def test_flags_reach_what_they_are_for(tmp_path):
  program = ('def run(config, *args, **how):\n'
             '  print(args, how, profile.steps, jax.config.jax_compilation_cache_dir)')
  out = start(program, '--rerun=a,b', '--verify', '--profile=3:5', XDG_CACHE_HOME=str(tmp_path))
  assert out.stdout.strip() == f"('W', ('a', 'b')) {{'verify': True}} (3, 5) {tmp_path}/r1jax/xla", out.stderr[-2000:]
  assert 'hosts: this process alone' in out.stderr and f'kept in {tmp_path}/r1jax/xla' in out.stderr


def test_a_full_disk_is_one_line(tmp_path):
  """Whoever it was that could not write: metrics, samples, records."""
  program = ('def run(*args, **how):\n'
             '  raise OSError(28, "No space left on device")')
  out = start(program, XDG_CACHE_HOME=str(tmp_path))
  assert out.returncode == 2 and 'r1jax: No space left on device: free some in W' in out.stderr, out.stderr[-2000:]
  assert 'Traceback' not in out.stderr


@pytest.mark.parametrize('shape, devices, said', [
    ({'fsdp': 4, 'tensor': 2}, 1, r'needs 8 devices, found 1: change config.mesh \(fsdp=1, tensor=1 for one\)$'),
    ({'data': -1, 'tensor': 2}, 1, r'found 1: change config.mesh \(tensor=1 for one\)$'),
    ({'fsdp': 4, 'tensor': 4}, 8, r'needs 16 devices, found 8: change config.mesh$')])
def test_a_mesh_of_other_devices_says_what_lays_it_on_one(shape, devices, said):
  with pytest.raises(UserError, match=said):
    mesh_lib.create(shape, jax.devices()[:devices])
