"""Several processes as hosts: asked to stop they agree where, and none outlives another."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A loop with a collective in each turn, as a run has; argv: what goes wrong, and on which host.
LOOP = """
import logging, os, signal, sys, threading, time
import jax
from r1jax import errors, stopping
from r1jax.engine import hosts, mesh
from r1jax.exceptions import UserError

what, where = sys.argv[1], int(sys.argv[2])
logging.getLogger('r1jax').setLevel('INFO')
logging.getLogger('r1jax').addHandler(logging.StreamHandler())


def work(_):
  hosts.join()
  signal.signal(signal.SIGTERM, lambda *_: stopping.requested.set())
  mine = jax.process_index() == where
  print('ready', flush=True)
  for turn in range(100000):
    if turn == 20 and mine and what == 'raises':
      raise KeyError('a fault of the program')
    if turn == 20 and mine and what == 'mistake':
      raise UserError('the disk is full')
    if turn == 20 and what == 'all':
      raise UserError('a mistake that all see')
    if mine and what == 'hangs' and turn == 20:
      time.sleep(15)  # long, but alive
    if turn == 40 and what == 'hangs':
      return 0
    assert what == 'no collectives' or not mesh.any_process(False)
    if hosts.stop_asked():
      print('stopped at', turn, flush=True)
      raise stopping.Stopped('asked to stop')
    time.sleep(0.01)


sys.exit(hosts.run(lambda argv: errors.run(work, argv), sys.argv))
"""


def start(what, where=0, hosts=2, *, come=None):
  """So many processes, each ready; come: only so many of them, which know one another and wait for the rest."""
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=1', 'JAX_PLATFORMS': 'cpu',
         'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}', 'JAX_NUM_PROCESSES': str(hosts)}
  found = [subprocess.Popen([sys.executable, '-c', LOOP, what, str(where)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**env, 'JAX_PROCESS_ID': str(i)})
           for i in range(come or hosts)]
  if come:
    said = iter(found[0].stderr.readline, '')
    assert any(f'{come} of {hosts} have come' in line for line in said), found[0].communicate()[1][-2000:]
    return found
  for process in found:
    assert process.stdout.readline() == 'ready\n', process.communicate()[1][-2000:]
  return found


def ended(processes, seconds):
  """[(exit code, stdout, stderr)], each within so many seconds."""
  end, out = time.monotonic() + seconds, []
  for process in processes:
    try:
      said = process.communicate(timeout=max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
      process.kill()
      raise AssertionError(f'still there after {seconds} s: {process.communicate()[1][-2000:]}') from None
    out.append((process.returncode, *said))
  return out


def lines(text):
  return [line for line in text.splitlines() if line.startswith('r1jax: ')]


@pytest.mark.parametrize('asked', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_signal_to_one_host_stops_all_at_the_same_place(asked):
  processes = start('signal')
  time.sleep(1)
  processes[asked].send_signal(signal.SIGTERM)
  found = ended(processes, 20)
  assert [code for code, *_ in found] == [143, 143], found
  assert found[0][1].splitlines()[-1] == found[1][1].splitlines()[-1] != '', found


SLOW = pytest.mark.slow  # docs/pods.md has the last result of these


def said_by_the_other(processes, how, lost):
  """What one of the first two says on stderr as the signal takes the other, and it ends with exit code 5."""
  processes[lost].send_signal(how)
  try:
    (code, _, stderr), = ended([processes[1 - lost]], 30)
  finally:
    processes[lost].kill()
    processes[lost].communicate()
  assert code == 5, stderr[-2000:]
  return stderr


@pytest.mark.parametrize('how, lost', [(signal.SIGKILL, 0), (signal.SIGKILL, 1), (signal.SIGSTOP, 1),
                                       pytest.param(signal.SIGSTOP, 0, marks=SLOW)])
def test_a_lost_host_ends_the_others_within_thirty_seconds(how, lost):
  """Killed, its sockets are closed; stopped, it is as silent as one behind a cut link."""
  processes = start('nothing')
  time.sleep(3)  # until they know each other's names
  stderr = said_by_the_other(processes, how, lost)
  assert any(f'host {lost} ({socket.gethostname()})' in line and 'goes on' in line for line in lines(stderr)), stderr


@pytest.mark.parametrize('how, lost', [(signal.SIGKILL, 1), pytest.param(signal.SIGKILL, 0, marks=SLOW),
                                       pytest.param(signal.SIGSTOP, 0, marks=SLOW),
                                       pytest.param(signal.SIGSTOP, 1, marks=SLOW)])
def test_a_host_lost_while_others_are_waited_for_ends_those_that_have_come(how, lost):
  """Two of three have come; the third would be waited for for minutes."""
  processes = start('nothing', hosts=3, come=2)
  time.sleep(1)
  stderr = said_by_the_other(processes, how, lost)
  assert any(f'host {lost}' in line and 'had come' in line and 'goes on' in line for line in lines(stderr)), stderr


@pytest.mark.parametrize('what, code, where', [('raises', 1, 0), ('mistake', 2, 1),
                                               pytest.param('raises', 1, 1, marks=SLOW),
                                               pytest.param('mistake', 2, 0, marks=SLOW)])
def test_what_ends_one_host_ends_the_others(what, code, where):
  found = ended(start(what, where), 30)
  assert found[where][0] == code and found[1 - where][0] == 5, found
  assert f'host {where}' in lines(found[1 - where][2])[-1]
  assert ('KeyError' in found[where][2]) == (what == 'raises')


def test_a_mistake_that_all_see_is_each_ones_own():
  found = ended(start('all'), 30)
  assert [code for code, *_ in found] == [2, 2], found
  assert all('a mistake that all see' in lines(stderr)[0] for _, _, stderr in found)


@SLOW
def test_a_host_that_is_busy_is_not_lost():
  assert [code for code, *_ in ended(start('hangs', 1), 60)] == [0, 0]


@SLOW
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which('ip'), reason='network namespaces want root and iproute2')
@pytest.mark.parametrize('cut', [0, 1])
def test_a_cut_link_is_a_lost_host(cut):
  """Two hosts in network namespaces of their own; the link of one goes down, and nobody's socket is closed."""
  names = [f'r1jax{os.getpid()}{i}' for i in range(2)]
  ip = lambda *args: subprocess.run(['ip', *args], check=True, capture_output=True)
  processes = []
  try:
    for name in names:
      ip('netns', 'add', name)
    ip('link', 'add', 'veth0', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'veth1', 'netns', names[1])
    for i, name in enumerate(names):
      ip('-n', name, 'addr', 'add', f'10.77.0.{i + 1}/24', 'dev', f'veth{i}')
      ip('-n', name, 'link', 'set', f'veth{i}', 'up')
      ip('-n', name, 'link', 'set', 'lo', 'up')
    env = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu', 'JAX_COORDINATOR_ADDRESS': '10.77.0.1:7701',
           'JAX_NUM_PROCESSES': '2'}
    processes = [subprocess.Popen(['ip', 'netns', 'exec', name, sys.executable, '-c', LOOP, 'no collectives', '0'],
                                  cwd=ROOT, env={**env, 'JAX_PROCESS_ID': str(i)}, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) for i, name in enumerate(names)]
    for process in processes:
      assert process.stdout.readline() == 'ready\n', process.communicate()[1][-2000:]
    time.sleep(5)
    ip('-n', names[cut], 'link', 'set', f'veth{cut}', 'down')
    found = ended(processes, 30)
    assert [code for code, *_ in found] == [5, 5], found
    assert 'host 1' in lines(found[0][2])[-1] and 'host 0' in lines(found[1][2])[-1], found
  finally:
    for process in processes:
      process.kill()
    for name in names:
      subprocess.run(['ip', 'netns', 'del', name], check=False, capture_output=True)
