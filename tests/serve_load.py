"""The endpoint under load, tiny model: python tests/serve_load.py [--requests=500] [--concurrency=64]

Starts `r1jax serve --checkpoint=tiny-base --dtype=float32`, and prints one JSON object: whether any request was lost,
whether clients that hang up leave a slot taken, whether 64 at once say what one at a time says, throughput at 64 and at
1, the 99th percentile of /health under load. Exit code 1 where a bar is missed. serve_test.py has a short version.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIE = 1e-4  # nats between two tokens that float32 may take for each other

BARS = {'lost': ('<=', 0), 'slots_leaked': ('<=', 0), 'texts_apart': ('<=', 0), 'throughput_ratio': ('>=', 8),
        'health_p99_seconds': ('<=', 0.2)}


async def ask(port: int, method: str, path: str, body=None, hang_up: float | None = None):
  """(status, body) of one request, of a connection of its own; hang_up: seconds until the client leaves, None, None."""
  data = b'' if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
  reader, writer = await asyncio.open_connection('127.0.0.1', port)
  try:
    writer.write(f'{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n'
                 f'content-length: {len(data)}\r\n\r\n'.encode() + data)
    await writer.drain()
    if hang_up is not None:
      await asyncio.sleep(hang_up)
      writer.transport.abort()
      return None, None
    head, _, rest = (await reader.read()).partition(b'\r\n\r\n')
    if b'chunked' in head.lower():
      rest = b''.join(rest.split(b'\r\n')[1::2])
    return int(head.split()[1]), rest
  finally:
    writer.close()


async def gauge(port: int, name: str) -> float:
  _, page = await ask(port, 'GET', '/metrics')
  return float(re.search(rf'^{name}(?:_total)? (\S+)$', page.decode(), re.MULTILINE)[1])


def wish(i: int, max_tokens: int = 96) -> dict:
  """Request i: half of them greedy, with what tells a near tie."""
  greedy = i % 2 == 0
  return {'prompt': f'What is {i % 40} + {i // 40}?', 'seed': i, 'max_tokens': max_tokens, 'logprobs': 2,
          'temperature': 0 if greedy else 1, 'top_p': 1 if greedy else 0.95}


async def all_of(port: int, wishes: list[dict], concurrency: int) -> list:
  """(status, body) of each; what raised counts as (0, why)."""
  gate, out = asyncio.Semaphore(concurrency), [None] * len(wishes)

  async def one(i):
    async with gate:
      try:
        out[i] = await ask(port, 'POST', '/v1/completions', wishes[i])
      except OSError as e:
        out[i] = 0, str(e).encode()

  await asyncio.gather(*map(one, range(len(wishes))))
  return out


def apart(one: dict, other: dict) -> bool:
  """Whether two answers differ elsewhere than from a near tie on."""
  a, b = (answer['choices'][0]['logprobs'] for answer in (one, other))
  n = next((n for n, (x, y) in enumerate(zip(a['tokens'], b['tokens'])) if x != y), None)
  if n is None:
    return len(a['tokens']) != len(b['tokens'])
  first, second = sorted(a['top_logprobs'][n].values(), reverse=True)[:2]
  return first - second > TIE


async def health_times(port: int, until: asyncio.Event) -> list[float]:
  times = []
  while not until.is_set():
    begun = time.perf_counter()
    status, _ = await ask(port, 'GET', '/health')
    times.append(time.perf_counter() - begun if status == 200 else float('inf'))
    await asyncio.sleep(0.02)
  return times


async def measure(port: int, requests: int, concurrency: int, alone: int) -> dict:
  wishes = [wish(i) for i in range(requests)]
  tokens = lambda answers: sum(json.loads(body)['usage']['completion_tokens'] for status, body in answers if status == 200)
  await all_of(port, wishes[:2], 1)  # warm

  begun = time.perf_counter()
  one_by_one = await all_of(port, wishes[:alone], 1)
  slow = tokens(one_by_one) / (time.perf_counter() - begun)

  done = asyncio.Event()
  health = asyncio.ensure_future(health_times(port, done))
  begun = time.perf_counter()
  at_once = await all_of(port, wishes, concurrency)
  fast = tokens(at_once) / (time.perf_counter() - begun)
  done.set()
  times = sorted(await health)

  both = [(json.loads(x), json.loads(y)) for (s, x), (t, y) in zip(one_by_one, at_once) if s == t == 200]
  texts = sum(x['choices'][0]['text'] != y['choices'][0]['text'] for x, y in both)

  hasty = [ask(port, 'POST', '/v1/completions', wish(i, 200) | {'n': 1 + i % 3, 'stream': bool(i % 2)}, 0.02 * (i % 10))
           for i in range(concurrency)]
  await asyncio.gather(*hasty)
  for _ in range(100):
    leaked = await gauge(port, 'r1jax_slots_live') + await gauge(port, 'r1jax_open_completions')
    if not leaked:
      break
    await asyncio.sleep(0.1)
  return {
      'requests': requests, 'concurrency': concurrency, 'lost': sum(status != 200 for status, _ in at_once),
      'hung_up': concurrency, 'slots_leaked': leaked, 'compared': len(both), 'texts_that_differ': texts,
      'texts_apart': sum(apart(x, y) for x, y in both) + alone - len(both),
      'tokens_per_second_alone': slow, 'tokens_per_second_at_once': fast, 'throughput_ratio': fast / slow,
      'health_p99_seconds': times[int(0.99 * (len(times) - 1))], 'health_asked': len(times)}


@contextlib.contextmanager
def served(*flags: str, env=None):
  """(port, process) of a server of its own."""
  process = subprocess.Popen(
      [sys.executable, '-m', 'r1jax.serve', '--checkpoint=tiny-base', '--dtype=float32', '--port=0', *flags],
      stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})})
  try:
    lines = []
    for line in process.stderr:
      lines.append(line)
      if found := re.search(r'serving .* on http://[^ ]*:(\d+)$', line.strip()):
        yield int(found[1]), process
        return
    raise RuntimeError(''.join(lines))
  finally:
    if process.poll() is None:
      process.send_signal(signal.SIGTERM)
      try:
        process.communicate(timeout=30)
      except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def missed(found: dict) -> list[str]:
  return [name for name, (way, bar) in BARS.items()
          if not (found[name] <= bar if way == '<=' else found[name] >= bar)]


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--requests', type=int, default=500)
  parser.add_argument('--concurrency', type=int, default=64)
  parser.add_argument('--alone', type=int, default=64, help='requests that are also asked one at a time')
  parser.add_argument('--slots', type=int, default=64)
  a = parser.parse_args()
  with served(f'--slots={a.slots}') as (port, _):
    found = asyncio.run(measure(port, a.requests, a.concurrency, a.alone))
  print(json.dumps(found | {'slots': a.slots, 'missed': missed(found)}))
  return int(bool(missed(found)))


if __name__ == '__main__':
  sys.exit(main())
