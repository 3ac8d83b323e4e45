"""Documents on disk as token ids: the same rows as packing in memory gives, made once, whole or made again."""

import errno
import itertools
import json
import logging
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers

from r1jax import stopping
from r1jax.data import documents as documents_lib
from r1jax.data import formats
from r1jax.data import token_files
from r1jax.data.tokenizer import Tokenizer
from r1jax.engine import packing
from r1jax.stages import sft
from r1jax.stages import tokenise
from r1jax.types import NOWHERE, UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = [('Frage: 2 + 3 =', ' fünf'), ('', '一加一是二。'), ('q\u2028r', ' \U0001f600 "\\n" {}'), ('line\nbreak', '\ttab'),
         *((f'question {i}: {"x" * (i % 7)}', f' answer {"y " * (i % 23)}') for i in range(60))]


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory) -> Tokenizer:
  """Of bytes."""
  return made_tokenizer(tmp_path_factory.mktemp('tokenizer'))


def made_tokenizer(directory, first: str = '<e>') -> Tokenizer:
  vocab = {token: i for i, token in enumerate([first, '<p>', *sorted(pre_tokenizers.ByteLevel.alphabet())])}
  hf = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  hf.save(str(directory / 'tokenizer.json'))
  (directory / 'tokenizer_r1jax.json').write_text('{"eos_ids": [0], "pad_id": 1}')
  return Tokenizer(str(directory))


def write(path, texts) -> tokenise.Jsonl:
  """With blank lines, both ends of a line, and no end behind the last."""
  lines = [json.dumps({'prompt': p, 'completion': c, 'id': 7}, ensure_ascii=i % 2 == 0) + '\r' * (i % 3 == 0)
           for i, (p, c) in enumerate(texts)]
  lines[3:3] = ['', '  '] if len(lines) > 3 else []
  path.write_bytes('\n'.join(lines).encode())
  return tokenise.Jsonl(str(path))


@pytest.fixture
def source(tmp_path):
  return write(tmp_path / 'data.jsonl', TEXTS)


@pytest.fixture
def small_parts(monkeypatch):
  monkeypatch.setattr(token_files, 'PART_BYTES', 700)


def ids_of(documents) -> list:
  return [(documents.read([i])[i][0].tolist(), int(documents.prompts_N[i])) for i in range(len(documents))]


def wanted(tokenizer, texts=TEXTS) -> list:
  return [(p + c, len(p)) for p, c in (formats.encode(tokenizer, *text) for text in texts)]


# --- the same numbers as before


def pack_before(documents, *, length, open_rows=32):
  """packing.pack as it was when documents lay in memory, for comparison."""
  rows, free = [], []
  for i, (prompt, completion) in enumerate(documents):
    n = len(prompt) + len(completion) - 1
    for r in range(max(0, len(rows) - open_rows), len(rows)):
      if free[r] >= n:
        break
    else:
      r = len(rows)
      rows.append([])
      free.append(length)
    rows[r].append(i)
    free[r] -= n
  shape = (len(rows), length)
  out = packing.Packed(np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32),
                       np.zeros(shape, np.int32), np.full(shape, NOWHERE, np.int32))
  for r, members in enumerate(rows):
    at = 0
    for s, i in enumerate(members):
      prompt, completion = documents[i]
      ids = np.asarray(list(prompt) + list(completion), np.int32)
      n = len(ids) - 1
      span = slice(at, at + n)
      out.tokens_BxT[r, span] = ids[:-1]
      out.targets_BxT[r, span] = ids[1:]
      out.mask_BxT[r, span] = np.arange(1, n + 1) >= max(len(prompt), 1)
      out.segment_ids_BxT[r, span] = s + 1
      out.positions_BxT[r, span] = np.arange(n)
      at += n
  return out


def same(a: packing.Packed, b: packing.Packed) -> None:
  for x, y in zip(a, b, strict=True):
    assert x.dtype == y.dtype and x.tobytes() == y.tobytes() and x.shape == y.shape


token = st.integers(1, 9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(token, max_size=6), st.lists(token, min_size=2, max_size=7)), min_size=1,
                max_size=120), st.integers(1, 40))
def test_rows_are_bit_for_bit_those_of_before(documents, open_rows):
  before = pack_before(documents, length=12, open_rows=open_rows)
  same(packing.pack(documents, length=12, open_rows=open_rows), before)
  rows = packing.first_fit([len(p) + len(c) - 1 for p, c in documents], length=12, open_rows=open_rows)
  same(packing.fill(rows, [(p + c, len(p)) for p, c in documents], 12), before)


def test_rows_read_from_files_are_bit_for_bit_those_of_before(tmp_path, tokenizer, source, small_parts):
  encoded = [formats.encode(tokenizer, *text) for text in TEXTS]
  before = pack_before(encoded, length=130)
  assert len(before.tokens_BxT) > 20
  documents = tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  rows = packing.first_fit(documents.totals_N - 1, length=130)
  chosen = [5, 0, 7, 7]
  numbers = [i for r in chosen for i in rows[r]]
  got = packing.fill([rows[r] for r in chosen], documents.read(numbers), 130)
  same(got, packing.Packed(*(a[chosen] for a in before)))


@pytest.mark.parametrize('processes', [1, 2])
def test_parts_and_processes_change_nothing(tmp_path, tokenizer, source, small_parts, monkeypatch, processes):
  monkeypatch.setattr(token_files, 'PROCESSES', processes)
  documents = tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  assert len(list((tmp_path / 'tokens').glob('*.npz'))) > 5
  assert ids_of(documents) == wanted(tokenizer)
  assert documents.prompts_N.tolist() == [n for _, n in wanted(tokenizer)]


def test_a_line_longer_than_a_part_is_one_document(tmp_path, tokenizer, small_parts):
  texts = [('a', 'b'), ('long', 'z' * 5000), ('c', 'd')]
  documents = tokenise.documents(write(tmp_path / 'data.jsonl', texts), tokenizer, str(tmp_path), 'sft')
  assert ids_of(documents) == wanted(tokenizer, texts)


@pytest.mark.parametrize('hosts', [2, 3, 40])
def test_hosts_make_a_share_each(tmp_path, tokenizer, source, small_parts, monkeypatch, hosts):
  """As in so many processes of a run: what one has made is not made by another, and all read the same."""
  made = []
  monkeypatch.setattr(token_files, 'write_parts',
                      lambda directory, jobs, *a, **k: iter(made.append([job[0] for job in jobs]) or ()))
  for host in range(hosts):
    monkeypatch.setattr(tokenise.mesh_lib, 'is_local', lambda number, host=host: number % hosts == host)
    tokenise._make(source, tokenizer, str(tmp_path), 'sft', source.made_from())
  assert sorted(sum(made, [])) == [job[0] for job in source.jobs()] and len(made) == min(hosts, len(source.jobs()))


HOST = """
import logging, sys
from r1jax.data import token_files, tokenizer
from r1jax.engine import hosts
from r1jax.stages import tokenise
logging.basicConfig(level=logging.INFO)
logging.getLogger('r1jax').setLevel(logging.INFO)
hosts.join()
token_files.PART_BYTES = 700
documents = tokenise.documents(tokenise.Jsonl(sys.argv[1]), tokenizer.Tokenizer(sys.argv[2]), sys.argv[3], 'sft')
print(sum(int(ids.sum()) for ids, _ in documents.read(range(len(documents))).values()), len(documents), flush=True)
"""


def on_two_hosts(tmp_path, tokenizer, paths) -> list[tuple[int, str]]:
  """(exit code, what it said) of each."""
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}', 'JAX_NUM_PROCESSES': '2', 'XLA_FLAGS': ''}
  hosts = [subprocess.Popen([sys.executable, '-c', HOST, path, tokenizer.directory, str(tmp_path)], cwd=ROOT,
                            env={**env, 'JAX_PROCESS_ID': str(i)}, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT) for i, path in enumerate(paths)]
  said = [host.communicate(timeout=100)[0] for host in hosts]
  return [(host.returncode, text) for host, text in zip(hosts, said)]


def test_two_hosts_share_the_work_and_read_all_of_it(tmp_path, tokenizer, source):
  total = f'{sum(sum(ids) for ids, _ in wanted(tokenizer))} {len(TEXTS)}'
  first, second = on_two_hosts(tmp_path, tokenizer, [source.path] * 2)
  assert (first[0], second[0]) == (0, 0), first[1] + second[1]
  assert total in first[1] and total in second[1]
  made = [int(re.search(r'sft: (\d+) documents tokenised', text)[1]) for _, text in (first, second)]
  assert sum(made) == len(TEXTS) and min(made) > 20
  first, second = on_two_hosts(tmp_path, tokenizer, [source.path, str(tmp_path / 'none.jsonl')])
  assert 'sft: another host could not tokenise its share' in first[1] and 'none.jsonl cannot be read' in second[1]


def test_hosts_must_read_one_file(tmp_path, tokenizer, source, monkeypatch):
  size = os.path.getsize(source.path)
  monkeypatch.setattr(tokenise.mesh_lib, 'min_over_hosts', lambda value: value - 1)
  with pytest.raises(UserError, match=f'is not the same file on every host: here it has {size} bytes'):
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')


# --- made once; torn, changed


def start_again(tmp_path, tokenizer, source, caplog) -> tuple[list, list[str]]:
  """(documents, what the log said of making them)."""
  caplog.clear()
  with caplog.at_level(logging.INFO, logger='r1jax'):
    documents = tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  return ids_of(documents), [record.getMessage() for record in caplog.records]


def test_what_stands_is_read(tmp_path, tokenizer, source, small_parts, caplog, monkeypatch):
  first, said = start_again(tmp_path, tokenizer, source, caplog)
  assert len(said) == 1 and said[0].startswith(f'sft: {len(TEXTS)} documents tokenised in')
  monkeypatch.setattr(token_files, 'write_part', None)  # nothing is made
  assert start_again(tmp_path, tokenizer, source, caplog) == (first, [])


TEAR = {
    'records cut off': lambda tokens: os.truncate(tokens / '00002.array_record', 9),
    'no records': lambda tokens: (tokens / '00002.array_record').unlink(),
    'half an index': lambda tokens: os.truncate(tokens / '00002.npz', 100),
    'an empty index': lambda tokens: os.truncate(tokens / '00002.npz', 0),
    'an index of something else': lambda tokens: np.savez(tokens / '00002.npz', size=np.int64(3))}


@pytest.mark.parametrize('how', TEAR)
def test_a_torn_part_is_made_again_and_no_other(tmp_path, tokenizer, source, small_parts, caplog, how):
  first, _ = start_again(tmp_path, tokenizer, source, caplog)
  others = lambda: {p.name: p.stat().st_mtime_ns for p in (tmp_path / 'tokens').iterdir() if '00002' not in p.name}
  before = others()
  TEAR[how](tmp_path / 'tokens')
  again, said = start_again(tmp_path, tokenizer, source, caplog)
  assert again == first and others() == before
  assert said[0] == 'sft: part 2 of its tokens is torn: made again' and len(said) == 2


def test_bytes_that_are_others_are_an_error_with_the_way_out(tmp_path, tokenizer, source):
  documents = tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  path = tmp_path / 'tokens' / '00000.array_record'
  data = bytearray(path.read_bytes())
  data[900] ^= 16
  path.write_bytes(data)
  with pytest.raises(UserError, match='tokens is torn.*: remove it, and the same command makes it again'):
    documents.read(range(len(documents)))


def test_another_source_or_tokenizer_is_tokenised_again(tmp_path, tokenizer, source, small_parts, caplog):
  start_again(tmp_path, tokenizer, source, caplog)
  texts = TEXTS[:9] + [('new', ' one')]
  found, said = start_again(tmp_path, tokenizer, write(tmp_path / 'data.jsonl', texts), caplog)
  assert found == wanted(tokenizer, texts) and 'bytes was' in said[0]
  assert said[0].endswith('its documents are tokenised again') and len(said) == 2
  os.utime(source.path, ns=(1, 1))  # as long as before, written anew
  assert 'mtime_ns was' in start_again(tmp_path, tokenizer, source, caplog)[1][0]
  (tmp_path / 'other').mkdir()
  other = made_tokenizer(tmp_path / 'other', first='<f>')
  found, said = start_again(tmp_path, other, source, caplog)
  assert found == wanted(other, texts) and said[0].startswith('sft: tokenizer was ') and len(said) == 2
  (tmp_path / 'tokens/made_from.json').write_text('{"layo')
  assert start_again(tmp_path, other, source, caplog)[0] == found


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path, tokenizer, source, small_parts, monkeypatch):
  def grows(directory, number, texts, *args, real=token_files.write_part):
    with open(source.path, 'a', encoding='utf-8') as f:
      f.write('\n{"prompt": "a", "completion": "b"}')
    return real(directory, number, texts, *args)

  monkeypatch.setattr(token_files, 'write_part', grows)
  monkeypatch.setattr(token_files, 'PROCESSES', 1)
  with pytest.raises(UserError, match='was changed while it was read'):
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')


KILLED = """
import sys, time
from r1jax.data import formats, token_files, tokenizer
from r1jax.stages import tokenise
token_files.PART_BYTES, token_files.PROCESSES, encode = 700, 1, formats.encode
formats.encode = lambda *a: (time.sleep(0.02), encode(*a))[1]
tokenise.documents(tokenise.Jsonl(sys.argv[1]), tokenizer.Tokenizer(sys.argv[2]), sys.argv[3], 'sft')
"""


def test_a_kill_while_tokenising_loses_only_a_part(tmp_path, tokenizer, source, small_parts, caplog):
  tokens = tmp_path / 'tokens'
  with subprocess.Popen([sys.executable, '-c', KILLED, source.path, tokenizer.directory, str(tmp_path)],
                        cwd=ROOT) as child:
    while child.poll() is None and len(list(tokens.glob('*.npz'))) < 2:
      time.sleep(0.01)
    child.kill()
  parts = len(source.jobs())
  stood = {p.name: p.stat().st_mtime_ns for p in tokens.glob('*.npz')}
  assert child.returncode == -signal.SIGKILL and 2 <= len(stood) < parts
  found, said = start_again(tmp_path, tokenizer, source, caplog)
  assert found == wanted(tokenizer) and said[0] == f'sft: {len(stood)} of {parts} parts of its tokens stand: goes on'
  assert all((tokens / name).stat().st_mtime_ns == at for name, at in stood.items())
  assert {p.suffix for p in tokens.iterdir()} == {'.array_record', '.npz', '.json'}  # nothing half written


@pytest.mark.parametrize('processes', [1, 2])
def test_sigterm_leaves_a_part_in_the_middle(tmp_path, tokenizer, source, monkeypatch, processes):
  """Of 32 MB it is half a minute; machines are gone 15 to 30 s after SIGTERM. Nothing of it counts."""
  endless = lambda path, start, end: (('a', 'b') for _ in itertools.count())
  monkeypatch.setattr(token_files, 'PROCESSES', processes)
  monkeypatch.setattr(token_files.os, 'cpu_count', lambda: processes)
  monkeypatch.setattr(token_files.documents_lib, 'from_jsonl', endless)
  monkeypatch.setattr(token_files, '_SERVE', 'import time; time.sleep(100)')
  monkeypatch.setattr(token_files, 'PART_BYTES', 700)
  timer = threading.Timer(1.0, stopping.requested.set)
  timer.start()
  try:
    begun = time.monotonic()
    with pytest.raises(stopping.Stopped, match='sft stopped while it tokenised'):
      tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
    assert 1 <= time.monotonic() - begun < 10 and not list((tmp_path / 'tokens').glob('*.npz'))
  finally:
    stopping.requested.clear()


def test_one_host_is_asked_and_all_stop(tmp_path, tokenizer, source, monkeypatch):
  """Of the others one has heard by its watch, which need not be in step with them."""
  monkeypatch.setattr(tokenise.hosts, '_watching', types.SimpleNamespace(asked_at=1.0))
  monkeypatch.setattr(token_files, 'PROCESSES', 1)
  with pytest.raises(stopping.Stopped):
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  assert not list((tmp_path / 'tokens').glob('*.npz'))


def test_sigterm_while_tokenising_stops_behind_a_part(tmp_path, tokenizer, source, small_parts, monkeypatch, caplog):
  real = token_files.write_part
  monkeypatch.setattr(token_files, 'write_part', lambda *a: (real(*a), stopping.requested.set())[0])
  monkeypatch.setattr(token_files, 'PROCESSES', 1)
  try:
    with pytest.raises(stopping.Stopped, match='sft stopped while it tokenised'):
      tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  finally:
    stopping.requested.clear()
  monkeypatch.setattr(token_files, 'write_part', real)
  found, said = start_again(tmp_path, tokenizer, source, caplog)
  assert found == wanted(tokenizer) and said[0] == f'sft: 1 of {len(source.jobs())} parts of its tokens stand: goes on'


def test_a_process_that_dies_is_one_line(tmp_path, tokenizer, source, small_parts, monkeypatch):
  monkeypatch.setattr(token_files, '_SERVE', 'import sys; sys.stdin.readline(); sys.exit(3)')
  monkeypatch.setattr(token_files, 'PROCESSES', 2)
  monkeypatch.setattr(tokenise.os, 'cpu_count', lambda: 2)
  with pytest.raises(UserError, match='a process that tokenises ended with 3'):
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path, tokenizer, source, monkeypatch):
  class Full(token_files.array_record_module.ArrayRecordWriter):

    def close(self):
      super().close()
      raise RuntimeError('write() failed: No space left on device; writing x; at byte 200000; Failed to close')

  monkeypatch.setattr(token_files.array_record_module, 'ArrayRecordWriter', Full)
  with pytest.raises(OSError, match='No space left on device: .*tokens/00000.array_record') as e:
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')
  assert e.value.errno == errno.ENOSPC
  assert os.listdir(tmp_path / 'tokens') == ['made_from.json']


# --- documents


BAD = {b'{"prompt": "a", "completion": 3}': '3 is no text', b'{"prompt": "a"}': "'completion'",
       b'{"prompt": "a", "completion": "\\ud800"}': 'surrogates', b'{"prompt": "\xff", "completion": "a"}': 'decode',
       b'[1]': 'list indices', b'nothing': 'Expecting value', b'{"prompt": null, "completion": "a"}': 'None is no text'}


@pytest.mark.parametrize('line, processes',
                         [(line, 1) for line in BAD] + [(line, 2) for line in list(BAD)[:2]], ids=str)
def test_a_line_that_is_no_document_is_named_by_its_number(tmp_path, tokenizer, small_parts, monkeypatch, line,
                                                           processes):
  monkeypatch.setattr(token_files, 'PROCESSES', processes)
  monkeypatch.setattr(tokenise.os, 'cpu_count', lambda: 2)
  source = write(tmp_path / 'data.jsonl', TEXTS)
  lines = pathlib.Path(source.path).read_bytes().split(b'\n')
  lines[50] = line
  pathlib.Path(source.path).write_bytes(b'\n'.join(lines))
  with pytest.raises(UserError, match=f'data.jsonl:51 is not .*({BAD[line]})'):
    tokenise.documents(source, tokenizer, str(tmp_path), 'sft')


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.lists(st.sampled_from([0, 1, 5, 90]), max_size=12))
def test_ranges_of_a_file_have_every_line_once(tmp_path_factory, step, sizes):
  path = tmp_path_factory.mktemp('ranges') / 'data.jsonl'
  texts = [('p' * n, f'{i}') for i, n in enumerate(sizes)]
  path.write_text(''.join(json.dumps({'prompt': p, 'completion': c}) + '\n' * (1 + i % 3)
                          for i, (p, c) in enumerate(texts)))
  size = path.stat().st_size
  found = [text for start in range(0, size, step)
           for text in documents_lib.from_jsonl(str(path), start, min(start + step, size))]
  assert found == texts == list(documents_lib.from_jsonl(str(path)))


def test_an_empty_file_and_a_missing_one(tmp_path, tokenizer):
  (tmp_path / 'data.jsonl').write_text('\n\n')
  documents = tokenise.documents(tokenise.Jsonl(str(tmp_path / 'data.jsonl')), tokenizer, str(tmp_path), 'sft')
  assert len(documents) == 0
  with pytest.raises(UserError, match='data set is empty'):
    packing.first_fit(documents.totals_N - 1, length=4)
  with pytest.raises(UserError, match='none.jsonl cannot be read: No such file'):
    tokenise.documents(tokenise.Jsonl(str(tmp_path / 'none.jsonl')), tokenizer, str(tmp_path), 'sft')


def test_documents_longer_than_a_row_are_left_out_and_counted(caplog):
  # With the end; the last token of a row's eight is a target alone.
  assert sft._fitting(np.array([6, 8, 9, 23]), 7, 'sft').tolist() == [0, 1]
  assert '2 of 4 documents are longer than sft.length=7' in caplog.text


def test_lines_are_read_by_number(tmp_path):
  source = write(tmp_path / 'data.jsonl', TEXTS)
  lines = documents_lib.Lines(source.path)
  assert len(lines) == len(TEXTS)
  for i in (len(TEXTS) - 1, 0, 17, 3):
    assert documents_lib.parse(lines[i][0], source.path, lines[i][1]) == TEXTS[i]
  cut = lines.cut(700)
  assert len(cut) > 5 and [i for numbers in cut for i in numbers] == list(range(len(TEXTS)))
  assert all(lines[n[-1]][1] - lines[n[0]][1] < 700 for n in cut) and lines.cut(1 << 20) == [range(len(TEXTS))]
  lines.close()


def test_generated_documents_are_made_once(tmp_path, tokenizer, caplog):
  calls = []
  texts = lambda: (calls.append(1), iter(TEXTS))[1]
  made = lambda facts: tokenise.Generated(texts, {'seed': 0, **facts})
  first, _ = start_again(tmp_path, tokenizer, made({}), caplog)
  assert first == wanted(tokenizer) and start_again(tmp_path, tokenizer, made({}), caplog) == (first, [])
  assert len(calls) == 1
  assert 'share was None, now 0.5' in start_again(tmp_path, tokenizer, made({'share': 0.5}), caplog)[1][0]
  tokenise.remove(str(tmp_path))
  assert not (tmp_path / 'tokens').exists()
