"""Hosts that have come and wait for others: one of them that is gone ends the rest.

jax.distributed.initialize returns when all have come. Until then its coordinator takes no word from anybody, and knows
nothing of those that came and are gone; they would be waited for as long as for those that never came. So each host
holds a connection to the first one, at the port behind the coordinator's, from when it has come until all have.
"""

import contextlib
import logging
import socket
import threading
import time
from typing import Callable

from jax._src import distributed  # as in hosts.py

log = logging.getLogger('r1jax')

BEAT = 2.0  # seconds between two signs of life
SILENCE = 20.0  # seconds without one after which a host counts as gone
_HELLO, _ALIVE, _ALL, _LOST = 'r1jax joins', '.', 'all have come', 'lost '  # lines


class _Line:
  """A connection of lines, which waits for nothing."""

  def __init__(self, connection: socket.socket):
    connection.setblocking(False)
    self._connection, self._text = connection, ''
    self.name, self.heard, self.gone, self._next = '', time.monotonic(), False, 0.0

  def say(self, line: str) -> None:
    try:
      self._connection.sendall(f'{line}\n'.encode())
    except OSError:  # also where it is full, as nobody has read for long
      self.gone = True

  def beat(self) -> None:
    if time.monotonic() >= self._next:
      self._next = time.monotonic() + BEAT
      self.say(_ALIVE)

  def lines(self) -> list[str]:
    """Those that have come since; `gone` where there will be no more."""
    try:
      while data := self._connection.recv(4096):
        self._text = (self._text + data.decode('utf-8', errors='replace'))[-10000:]
        self.heard = time.monotonic()
      self.gone = True
    except BlockingIOError:
      pass
    except OSError:
      self.gone = True
    *whole, self._text = self._text.split('\n')
    return whole

  def close(self) -> None:
    self._connection.close()


class Look:
  """What one host does meanwhile, in a thread; a context, which is left when all have come.

  Args:
    lose: called with what is said of a host that is gone; it ends this process.
  """

  def __init__(self, lose: Callable[[str], None], *, silence: float = SILENCE):
    self._lose, self._silence, self._over = lose, silence, threading.Event()
    self._failed = False
    self._thread = threading.Thread(target=self._work, name='joining', daemon=True)

  def __enter__(self) -> 'Look':
    self._thread.start()
    return self

  def __exit__(self, kind, *_) -> None:
    self._failed = kind is not None
    self._over.set()
    self._thread.join(10.0)  # the first one tells the others that all are there

  def _work(self) -> None:
    state = distributed.global_state
    while state.client is None:  # initialize finds out first who is who
      if self._over.wait(0.1):
        return
    if state.num_processes > 1:
      host, _, port = state.coordinator_address.rpartition(':')
      self.look(state.process_id, state.num_processes, host.strip('[]'), beside(int(port)))

  def look(self, me: int, hosts: int, host: str, port: int) -> None:
    """host, port: where the first one listens."""
    if me:
      self._wait_with(me, host, port)
      return
    try:
      family = dict(family=socket.AF_INET6, dualstack_ipv6=True) if socket.has_dualstack_ipv6() else {}
      with socket.create_server(('', port), backlog=hosts + 8, **family) as server:
        server.setblocking(False)
        self._receive(server, hosts)
    except OSError as e:
      log.warning('hosts: port %d is not free (%s): a host that is lost before all have come is waited for', port, e)

  def _receive(self, server: socket.socket, hosts: int) -> None:
    """On the first host."""
    there: list[_Line] = []
    while not self._over.wait(0.1):
      with contextlib.suppress(OSError):  # nobody knocks
        there.append(_Line(server.accept()[0]))
      for line in there:
        for text in line.lines():
          if text.startswith(_HELLO) and not line.name:
            line.name = text.removeprefix(_HELLO).strip()[:200]
            line.say(_HELLO)
            log.info('hosts: %d of %d have come, now %s', 1 + sum(bool(x.name) for x in there), hosts, line.name)
          elif text == _ALL:  # it knew a moment before this one
            line.name = ''
        if line.name:
          line.beat()
      if said := next(filter(None, map(self._gone, there)), ''):
        for line in there:
          line.say(_LOST + said)
        time.sleep(1.0)  # until it is read: what a process that ends has said may go with its connections
        self._lose(said)
        return
      there = [line for line in there if not line.gone]
    for line in there:
      if not self._failed:
        line.say(_ALL)
      line.close()

  def _gone(self, line: _Line) -> str:
    """What is said of a host that was there and is not; '' else, and of strangers."""
    silent = time.monotonic() - line.heard > self._silence
    return (f'{line.name} had come, and {"has not been heard for %.0f s" % self._silence if silent else "is gone"}'
            if line.name and (line.gone or silent) else '')

  def _wait_with(self, me: int, host: str, port: int) -> None:
    """On the others."""
    line = None
    while not self._over.wait(0.1):
      if line is None:
        try:
          line = _Line(socket.create_connection((host, port), timeout=2.0))
        except OSError:  # the first host has not come yet
          self._over.wait(BEAT / 2)
          continue
        line.say(f'{_HELLO} host {me} ({socket.gethostname()})')
      for text in line.lines():
        if text == _HELLO:
          line.name = 'host 0, the coordinator,'
        elif text.startswith(_LOST):
          self._lose(text.removeprefix(_LOST))
          return
        elif text == _ALL:
          line.close()
          return
      line.beat()
      if said := self._gone(line):
        self._lose(said)
        return
      if line.gone:  # it was somebody else
        line.close()
        line = None
        self._over.wait(BEAT / 2)
    if line is not None:
      if not self._failed:
        line.say(_ALL)
      line.close()


def beside(port: int) -> int:
  """The port of `Look`, of a coordinator's."""
  return port + 1 if port < 65535 else port - 1
