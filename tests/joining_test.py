"""Hosts that wait for others to come: one that had come and is gone is named by the rest; strangers are nobody."""

import contextlib
import socket
import threading
import time

import pytest

from r1jax.engine import joining

HOSTS = 4


class Hosts:
  """Some of HOSTS, as threads: `lost[i]` is what host i says of another one that is gone."""

  def __init__(self, monkeypatch, silence=60.0):
    monkeypatch.setattr(joining, 'BEAT', 0.05)
    with socket.create_server(('127.0.0.1', 0)) as free:
      self.port = free.getsockname()[1]
    self.lost, self.looks, self._threads, self._silence = {}, {}, {}, silence

  def start(self, i):
    look = joining.Look(lambda said: self.lost.setdefault(i, said), silence=self._silence)
    self.looks[i] = look
    self._threads[i] = threading.Thread(target=look.look, args=(i, HOSTS, '127.0.0.1', self.port), daemon=True)
    self._threads[i].start()

  def ends(self, i, failed=False):
    """Its initialize returns, or raises."""
    self.looks[i]._failed = failed
    self.looks[i]._over.set()

  def wait(self, *numbers):
    for i in numbers:
      self._threads[i].join(10)
      assert not self._threads[i].is_alive()


@pytest.fixture(name='hosts')
def _hosts(monkeypatch):
  found = Hosts(monkeypatch)
  yield found
  for i in found.looks:
    found.ends(i)


def have_come(caplog, count):
  end = time.monotonic() + 10
  while f'{count} of {HOSTS} have come' not in caplog.text:
    assert time.monotonic() < end
    time.sleep(0.01)


def connected(port):
  """With the first host, whose thread may not listen yet."""
  end = time.monotonic() + 10
  while True:
    try:
      return socket.create_connection(('127.0.0.1', port), timeout=10)
    except ConnectionRefusedError:
      assert time.monotonic() < end
      time.sleep(0.01)


@pytest.mark.parametrize('gone, left', [(2, (0, 1)), (1, (0, 2)), (0, (1, 2))])
@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0)])
def test_one_that_had_come_and_is_gone_ends_the_others(gone, left, order, hosts, caplog):
  """A process that is killed closes its connections, as one does whose initialize raises; host 3 never comes."""
  caplog.set_level('INFO', 'r1jax')
  for i in order:
    hosts.start(i)
    time.sleep(0.1)
  have_come(caplog, 3)
  hosts.ends(gone, failed=True)
  hosts.wait(*left)
  assert sorted(hosts.lost) == sorted(left)
  assert all(f'host {gone}' in said and 'had come, and is gone' in said for said in hosts.lost.values()), hosts.lost


@pytest.mark.parametrize('first', [0, 1])
def test_when_all_have_come_nobody_is_gone(first, hosts, caplog):
  """Whoever learns it first leaves, and is not missed."""
  caplog.set_level('INFO', 'r1jax')
  for i in range(HOSTS):
    hosts.start(i)
  have_come(caplog, HOSTS)
  time.sleep(0.5)  # the first host says so; the others are told
  hosts.ends(first)
  time.sleep(0.5)
  assert not hosts.lost
  for i in range(HOSTS):
    hosts.ends(i)
  hosts.wait(*range(HOSTS))
  assert not hosts.lost


@pytest.mark.parametrize('silent', [0, 1])
def test_one_that_is_silent_is_gone(silent, monkeypatch, caplog):
  """As one that is frozen, or behind a cut link: its connection stands."""
  caplog.set_level('INFO', 'r1jax')
  hosts = Hosts(monkeypatch, silence=0.6)
  with contextlib.ExitStack() as held:
    if silent:
      hosts.start(0)
      line = held.enter_context(connected(hosts.port))
      line.sendall(b'r1jax joins host 1 (there)\n')
    else:
      server = held.enter_context(socket.create_server(('127.0.0.1', hosts.port)))
      hosts.start(1)
      line = held.enter_context(server.accept()[0])
      line.sendall(b'r1jax joins\n')
    hosts.wait(1 - silent)
  assert f'host {silent}' in hosts.lost[1 - silent] and 'not been heard' in hosts.lost[1 - silent]


def test_strangers_are_nobody(hosts, caplog):
  """What knocks at the port without a word, and who listens there without knowing us."""
  caplog.set_level('INFO', 'r1jax')
  with socket.create_server(('127.0.0.1', hosts.port)) as other:
    hosts.start(1)
    for _ in range(2):  # it comes again
      other.settimeout(10)
      other.accept()[0].close()
  hosts.start(0)
  for said in (b'GET / HTTP/1.1\n', b''):
    with connected(hosts.port) as line:
      line.sendall(said)
  have_come(caplog, 2)
  assert not hosts.lost


def test_a_port_that_is_taken_is_said(hosts, caplog):
  with socket.create_server(('', hosts.port)):
    hosts.start(0)
    hosts.wait(0)
  assert f'port {hosts.port} is not free' in caplog.text and 'is waited for' in caplog.text and not hosts.lost


def test_the_port_lies_beside_the_coordinators():
  assert [joining.beside(port) for port in (1234, 65534, 65535)] == [1235, 65535, 65534]
