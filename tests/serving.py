"""What tests of the endpoint share: a server of the tiny model in a thread of this process."""

import asyncio
import contextlib
import json
import threading
import time

import r1jax
from r1jax.serve import _bind
from r1jax.serve import server as server_lib
import serve_load


class Serving:
  """A running server: port, service, and requests of it."""

  def __init__(self, model, **options):
    settings = dict(name='tiny', slots=16, queue=64, length=128) | options
    self.app, self.service = server_lib.build(model, **settings)
    self.server = server_lib.Server(self.app, self.service, grace=1.0)
    self._sock = _bind('127.0.0.1', 0)
    self.port = self._sock.getsockname()[1]
    self._thread = threading.Thread(target=self.server.run, kwargs=dict(sockets=[self._sock]), daemon=True)

  def __enter__(self):
    self._thread.start()
    until(lambda: self.server.started)
    return self

  def __exit__(self, *error):
    with contextlib.suppress(RuntimeError):  # it has ended by itself
      self.server.loop.call_soon_threadsafe(self.server.stop)
    self._thread.join(20)
    assert not self._thread.is_alive()

  def ask(self, path, body=None, method=None, **more):
    """(status, JSON)."""
    method = method or ('GET' if body is None else 'POST')
    status, answer = asyncio.run(serve_load.ask(self.port, method, path, body, **more))
    return status, json.loads(answer) if answer else None

  def chat(self, text='What is 3 + 4?', **more):
    return self.ask('/v1/chat/completions', {'messages': [{'role': 'user', 'content': text}], 'max_tokens': 8, **more})

  def complete(self, prompt='What is 3 + 4?', **more):
    return self.ask('/v1/completions', {'prompt': prompt, 'max_tokens': 8, **more})

  def events(self, path, body):
    """The JSON of each server-sent event, [DONE] left out."""
    status, answer = asyncio.run(serve_load.ask(self.port, 'POST', path, body | {'stream': True}))
    assert status == 200
    lines = [line.removeprefix('data: ') for line in answer.decode().split('\n\n') if line]
    assert lines.pop() == '[DONE]'
    return [json.loads(line) for line in lines]

  def idle(self) -> bool:
    return not self.service.open and not self.service.running.busy and not self.service._choices


def until(true, seconds=30.0):
  end = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < end, 'it never came true'
    time.sleep(0.01)


def tiny(**options):
  """The shipped tiny base on one device, in float32."""
  return r1jax.load('tiny-base', mesh={'data': 1}, dtype='float32', **options)


@contextlib.contextmanager
def serving(model=None, **options):
  with Serving(model or tiny(), **options) as running:
    yield running
