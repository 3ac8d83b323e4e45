"""Slow: data of full size by a stand-in of an eighth, each figure from a process of its own. `pytest -m slow -s -n 0
tests/data_size_test.py`; needs 12 GB of disk. Last result: docs/data.md. R1JAX_DOCUMENTS=N for another
number, of 10,000 or more: all of a start is taken to grow with them.
"""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = int(os.environ.get('R1JAX_DOCUMENTS', 100_000))
FULL, MEAN, LONGEST = 800_000, 4800, 32768  # documents, tokens
SAMPLES, SAMPLE_BYTES = DOCUMENTS, 20_000
GIB = 1 << 30
pytestmark = pytest.mark.slow

# The kernel's largest resident size of a program; getrusage's has in it what the process was before it became one.
MEASURED = """
import glob, json, os, resource, sys, threading, time
def peak(pid='self'):
  with open(f'/proc/{pid}/status') as f:
    return 1024 * int(next(line for line in f if line.startswith('VmHWM')).split()[1])
imported, largest = peak(), [0]
def watch():
  while True:
    for path in glob.glob('/proc/self/task/*/children'):
      try:
        largest.extend(peak(pid) for pid in open(path).read().split())
      except (OSError, StopIteration):
        pass
    largest[:] = [max(largest)]
    time.sleep(0.2)
threading.Thread(target=watch, daemon=True).start()
def said(**facts):
  print(json.dumps({**facts, 'imported': imported, 'peak': peak(), 'largest_process': max(largest),
                    'cpu': sum(sum(resource.getrusage(of)[:2]) for of in (0, resource.RUSAGE_CHILDREN))}))
"""
START = """
from r1jax.data import tokenizer
from r1jax.engine import packing
from r1jax.stages import tokenise
import numpy as np
""" + MEASURED + """
path, directory, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
start = time.monotonic()
tokens = tokenizer.Tokenizer(directory)
documents = tokenise.documents(tokenise.Jsonl(path), tokens, directory, 'sft')
ready = time.monotonic() - start
fitting = np.flatnonzero(documents.totals_N <= length + 1)
rows = packing.first_fit(documents.totals_N[fitting] - 1, length=length)
packed, batches = time.monotonic() - start, []
order = np.random.default_rng(0).permutation(len(fitting))
for step in range(21):  # the first one opens files
  begun, numbers = time.monotonic(), fitting[order[np.arange(step * 128, step * 128 + 128) % len(order)]]
  places = (documents.totals_N[numbers] - 1).tolist()
  found = packing.of_batch(places, {length: packing.Shape(32, length)})
  batch = packing.fill([[int(numbers[i]) for i in row] for row in found], documents.read(numbers), length)
  batches.append(time.monotonic() - begun)
said(ready=ready, packed=packed, first_batch=packed + batches[0], batch=sorted(batches[1:])[10], rows=len(rows),
     documents=len(documents), tokens=int(documents.totals_N.sum()), size=os.path.getsize(path))
"""
REJECT = """
import random
from ml_collections import ConfigDict
from r1jax.stages import common, reject
reject._builder()
""" + MEASURED + """
directory, samples, size, stop = sys.argv[1], *map(int, sys.argv[2:])
rng, begun = random.Random(0), time.monotonic()
batches = common.Batches(directory)
opened = time.monotonic() - begun
text = ''.join(rng.choices('abcdefgh ', k=1 << 20))
for first in range(batches.done(''), min(stop, samples), 256):
  cut = lambda: (lambda at: text[at:at + size])(rng.randrange(len(text) - size))
  batches.add('', 256, [{'id': str(i // 4), 'kind': 'reasoning', 'prompt': 'q', 'completion': cut(), 'language': 'en',
                         'reasoned': True} for i in range(first, min(first + 256, samples))])
kept = time.monotonic() - begun
if stop >= samples:
  c = ConfigDict(dict(template='r1', reasoning=samples * 3 // 4, general=dict(source='', count=0)))
  mixed = reject._mixed(batches.kept_path, c, random.Random(0))
  reject.write(directory, mixed.rows(), {}, title='reject', prompt={'template': 'r1'})
said(opened=opened, kept=kept, written=time.monotonic() - begun)
"""


def run(code: str, *args) -> dict:
  done = subprocess.run([sys.executable, '-c', code, *map(str, args)], cwd=ROOT, capture_output=True, text=True,
                        env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, check=False)
  assert done.returncode == 0, done.stderr[-3000:]
  return json.loads(done.stdout.splitlines()[-1])


def stand_in(path, tokenizer_json) -> None:
  """DOCUMENTS texts of log-normal lengths in tokens, mean 4,800, cut at a row; and a BPE of 16,384 tokens for them."""
  rng = np.random.default_rng(0)
  letters, weights = np.array(list('etaoinshrdlucmfwypvbgkjqxz')), 1 / np.arange(2, 28)
  words = [''.join(rng.choice(letters, n, p=weights / weights.sum())) for n in rng.integers(2, 11, 30_000)]
  text = ' '.join(rng.choice(words, 2_000_000, p=(lambda w: w / w.sum())(1 / np.arange(10, 30_010))))
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.train_from_iterator([text[i:i + 10_000] for i in range(0, 4_000_000, 10_000)], trainers.BpeTrainer(
      vocab_size=16_384, special_tokens=['<e>', '<p>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False))
  tokenizer.save(str(tokenizer_json))
  tokenizer_json.with_name('tokenizer_r1jax.json').write_text('{"eos_ids": [0], "pad_id": 1}')
  letters_a_token = 400_000 / len(tokenizer.encode(text[:400_000]).ids)
  lengths = np.clip(rng.lognormal(math.log(MEAN) - 0.5, 1.0, DOCUMENTS), 16, LONGEST - 64)
  lengths = (lengths * MEAN / lengths.mean()).clip(16, LONGEST - 64) * letters_a_token
  with open(path, 'w', encoding='utf-8') as f:
    for n in lengths.astype(int):
      at = int(rng.integers(len(text) - n))
      f.write(json.dumps({'prompt': text[at:at + min(n // 10, 600)], 'completion': text[at + min(n // 10, 600):at + n]})
              + '\n')


def beginning(path, directory, documents: int):
  """The first lines of a file, and its tokenizer, in a directory of their own."""
  directory.mkdir()
  with open(path, 'rb') as f, open(directory / 'data.jsonl', 'wb') as g:
    g.writelines(itertools.islice(f, documents))
  for name in ('tokenizer.json', 'tokenizer_r1jax.json'):
    shutil.copyfile(path.with_name(name), directory / name)
  return directory


def test_the_data_of_an_sft(tmp_path):
  """Wanted of 800k documents of 4.8k tokens: 8 GB a host, and 60 s from a resumed start to the first batch."""
  path = tmp_path / 'data.jsonl'
  stand_in(path, tmp_path / 'tokenizer.json')
  few = beginning(path, tmp_path / 'few', DOCUMENTS // 10)
  first, again = (run(START, path, tmp_path, LONGEST) for _ in range(2))
  few, times = [run(START, few / 'data.jsonl', few, LONGEST) for _ in range(2)][1], FULL / DOCUMENTS
  record = sum(p.stat().st_size for p in (tmp_path / 'tokens').iterdir())
  print(f'\n{DOCUMENTS:,} documents, {first["tokens"] / 1e6:,.0f}M tokens, {first["size"] / 1e9:.2f} GB of JSONL, '
        f'{record / 1e9:.2f} GB of tokens')
  cpu, process = first['cpu'], first['largest_process'] / GIB
  print(f'tokenised in {first["ready"]:.0f} s by {os.cpu_count()} processes of {process:.2f} GiB: '
        f'{first["tokens"] / cpu / 1e6:.2f}M tokens a second of CPU; {FULL:,}: {cpu * times / 3600:.1f} hours of a '
        f'core, {cpu * times / 32 / 60:.0f} min and {32 * process:.1f} GiB by 32')
  print(f'started again: index {again["ready"]:.2f} s, packed {again["packed"] - again["ready"]:.2f} s, first batch '
        f'{again["first_batch"] - again["packed"]:.2f} s, others {again["batch"]:.3f} s each; {FULL:,}: '
        f'{again["first_batch"] * times:.1f} s')
  a_document = (again['peak'] - few['peak']) / (DOCUMENTS - DOCUMENTS // 10)
  whole = again['peak'] + a_document * (FULL - DOCUMENTS)
  print(f'memory: {again["imported"] / GIB:.2f} GiB imported, {few["peak"] / GIB:.2f} with a tenth of the documents, '
        f'{again["peak"] / GIB:.2f} with all, {first["peak"] / GIB:.2f} when they were made: {a_document:.0f} bytes a '
        f'document; {FULL:,}: {whole / GIB:.2f} GiB')
  assert first['documents'] == again['documents'] == DOCUMENTS and again['rows'] == first['rows']
  assert again['first_batch'] * times <= 60
  assert max(whole, first['peak'] + whole - again['peak'] + 32 * first['largest_process']) <= 8e9


def test_the_samples_of_a_rejection(tmp_path):
  """Wanted of 600k samples of 20 kB: memory that does not grow with them, half of them kept before a start again."""
  half = run(REJECT, tmp_path, SAMPLES, SAMPLE_BYTES, SAMPLES // 2)
  rest = run(REJECT, tmp_path, SAMPLES, SAMPLE_BYTES, SAMPLES)
  size = os.path.getsize(tmp_path / 'kept.jsonl')
  print(f'\n{SAMPLES:,} samples, {size / 1e9:.2f} GB: opened again in {rest["opened"]:.2f} s, kept by '
        f'{half["peak"] / GIB:.2f} GiB ({half["imported"] / GIB:.2f} imported), mixed and written in '
        f'{rest["written"] - rest["kept"]:.0f} s by {rest["peak"] / GIB:.2f} GiB')
  assert sum(1 for _ in open(tmp_path / 'data.jsonl', 'rb')) == SAMPLES * 3 // 4
  assert half['peak'] - half['imported'] < 0.2 * GIB
  assert rest['peak'] - rest['imported'] < 0.5 * GIB  # tensorflow-datasets holds a file of 128 MiB as it writes it
