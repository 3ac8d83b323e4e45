"""A checkpoint -> compiled programs -> a server that runs until it is asked to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys

import jax
import numpy as np
import uvicorn

from r1jax import api
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import continuous
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.serve.app import App
from r1jax.serve.asked import Asked
from r1jax.serve.metrics import Metrics
from r1jax.serve.service import Service

log = logging.getLogger('r1jax')

_LENGTH = {'cpu': 2048}  # of a prompt and its completion together, where nobody says otherwise
_LONGEST = 8192
_SWITCH = 1e-3  # seconds that the engine's thread may keep the interpreter while the event loop wants it, at a time


def build(model: api.Model, *, name: str, slots: int, queue: int, length: int = 0, reasoning: str = 'apart',
          key: str = '', max_body: int = 1 << 20) -> tuple[App, Service]:
  """An app over a model, all its programs compiled; service.start() is yet to be called, on the event loop.

  Raises:
    UserError: a length that the model has not got.
  """
  positions, mesh = model.config.max_length, model.mesh
  if length > positions:
    raise UserError(f'--max_length={length} exceeds the {positions} positions of the model: lower it')
  if not length:
    length = min(positions, _LENGTH.get(mesh_lib.platform(mesh), _LONGEST))
    if length < positions:
      log.info("--max_length=%d of the model's %d positions, as nothing else is told", length, positions)
  if length < 2:
    raise UserError(f'--max_length={length} has no room for a prompt and a token of an answer')
  module, weights = model.served()
  sampler = continuous.Sampler(module, mesh, slots=slots, length=length, pad_id=model.tokenizer.pad_id,
                               eos_ids=prompts.eos_ids(model.tokenizer, model.template))
  cache = sampler.slots_shapes(sampler.buckets[-1]).cache.kv
  log.info('%d slots of up to %d tokens: their cache takes up to %.2f GiB', sampler.slots, length,
           sum(np.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(cache)) / 2**30)
  with terminal.doing('compiling'):
    sampler.compile()
  with terminal.doing('loading the weights'):
    service = Service(sampler, weights(), model.tokenizer, waiting=queue, metrics=Metrics())
  service.metrics.watch(service)
  asked = Asked(model.tokenizer, model.template, prefill=model.prefill, system=model.system,
                vocab=min(model.config.vocab_size, model.tokenizer.vocab_size), length=length, reasoning=reasoning)
  return App(service, asked, name=name, key=key, max_body=max_body), service


class Server(uvicorn.Server):
  """uvicorn's, with signals as r1jax's commands take them.

  Attributes:
    by: the signal that has stopped it; None: none.
  """

  def __init__(self, app: App, service: Service, grace: float, said: str = ''):
    super().__init__(uvicorn.Config(app, lifespan='off', log_config=None, access_log=False, server_header=False,
                                    timeout_keep_alive=65, timeout_graceful_shutdown=int(grace) + 3))
    self._service, self._grace, self._said, self.by = service, grace, said, None
    self.loop: asyncio.AbstractEventLoop | None = None  # once it runs

  @contextlib.contextmanager
  def capture_signals(self):
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: who started it stops it
      for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, self.stop, number)
    yield

  def stop(self, by: int | None = None) -> None:
    """Takes nothing more; what runs has `grace` seconds to end. A second Ctrl-C ends the process."""
    if self.by is not None and by == signal.SIGINT:
      os._exit(130)
    self.by, self.should_exit, self._service.stopping = by or self.by or 0, True, True
    if self._service.open:
      log.info('stopping: %d completions have %g s to end%s', self._service.open, self._grace,
               '; Ctrl-C again ends it at once' if by == signal.SIGINT else '')
    asyncio.get_running_loop().call_later(self._grace, self._cut)

  def _cut(self) -> None:
    if broken := self._service.break_off():
      log.warning('%d requests were broken off', broken)

  async def startup(self, sockets=None) -> None:
    sys.setswitchinterval(_SWITCH)
    self.loop = asyncio.get_running_loop()
    self._service.start()
    await super().startup(sockets)
    if self._said:
      log.info('%s', self._said)

  async def on_tick(self, counter: int) -> bool:
    return await super().on_tick(counter) or self._service.died is not None

  async def shutdown(self, sockets=None) -> None:
    try:
      await super().shutdown(sockets)
    finally:
      await asyncio.get_running_loop().run_in_executor(None, self._service.close)


def run(a, sock: socket.socket, *, mesh: dict[str, int], key: str) -> int:
  """Serves until it is asked to stop; the exit code.

  Args:
    a: the command's flags.
    sock: bound, and listened to from here on.
    key: that requests must bring; '': none.

  Raises:
    UserError: no such checkpoint, or sizes that do not go together.
  """
  with contextlib.suppress(ValueError):  # not the main thread
    # Until it serves: the process ends as others do, and what was imported to a temporary directory goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  hosts.join()
  if jax.process_count() > 1:
    raise UserError('r1jax serve runs in one process: one for each host, each with devices of its own')
  model = api.load(a.checkpoint, template=a.template or None, mesh=mesh, dtype=a.dtype or None)
  name = a.name or os.path.basename(os.path.abspath(a.checkpoint))
  app, service = build(model, name=name, slots=a.slots, queue=a.queue, length=a.max_length, reasoning=a.reasoning,
                       key=key, max_body=a.max_body)
  host, port = sock.getsockname()[:2]
  if not key and host not in ('127.0.0.1', '::1'):
    log.warning('no --key: whoever reaches %s may ask', host)
  server = Server(app, service, a.grace, f'serving {name} on http://{f"[{host}]" if ":" in host else host}:{port}')
  server.run(sockets=[sock])
  if service.died is not None:
    raise service.died
  if server.by:
    print('r1jax: stopped', file=sys.stderr)
  return {signal.SIGTERM: 143, signal.SIGINT: 130}.get(server.by, 0)
