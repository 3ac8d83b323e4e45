"""Several hosts in one process, for what they decide together."""

import threading

from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError


class Hosts:
  """Processes as threads, which meet where hosts do; of JAX's own numbers each is the only one."""

  def __init__(self, monkeypatch, count):
    self.here, self.meet, self.sent, self.count = threading.local(), threading.Barrier(count), [None] * count, count
    for name, f in (('processes', lambda: count), ('first_process', lambda: self.here.number == 0),
                    ('from_first', lambda data: self.all_gather(data)[0]), ('barrier', self.all_gather),
                    ('any_process', lambda flag: any(self.all_gather(flag))),
                    ('min_over_hosts', lambda value: min(self.all_gather(value)))):
      monkeypatch.setattr(mesh_lib, name, f)

  def all_gather(self, value):
    self.sent[self.here.number] = value
    self.meet.wait(60)
    found = list(self.sent)
    self.meet.wait(60)
    return found

  def __call__(self, work):
    def run(number):
      self.here.number = number
      try:
        out[number] = work(number)
      except UserError as e:
        out[number] = e

    out = [None] * self.count
    threads = [threading.Thread(target=run, args=(number,)) for number in range(self.count)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(90)
    return out
