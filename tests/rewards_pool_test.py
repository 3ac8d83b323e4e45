"""The pool: order, the wall clock, what survives a hang, and that numbers never cost a process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from r1jax import rewards
from r1jax.rewards import math
from r1jax.rewards import pool

HANG = ('math', r'<think> a </think> \boxed{(999999999)!}', {'answer': r'\frac{1}{x}!', 'answer_type': 'expr'})
INT = ('math', r'<think> a </think> \boxed{5}', {'answer': '5', 'answer_type': 'int'})
FORM = ('format', '<think> a </think> <answer> 5 </answer>', {})


def expr(said, gold):
  """With a cube root, which is left to math-verify and so to a worker."""
  return ('math', rf'<think> a </think> \boxed{{{said}+\sqrt[3]{{z}}}}',
          {'answer': rf'\sqrt[3]{{z}}+{gold}', 'answer_type': 'expr'})


def pids(p):
  return [w.process.pid for w in p._workers if w.process]


@pytest.fixture(scope='module')
def two():
  with pool.Pool(workers=2, deadline=10.0) as p:
    yield p


def test_order_is_kept(two):
  batch, want = [], []
  for i in range(1, 25):
    batch += [expr(rf'\frac{{{i}\sqrt{{3}}}}{{2}}', rf'{i if i % 3 else i + 1}\sqrt{{3}}/2'), INT,
              ('math', 'no', INT[2]), FORM]
    want += [float(i % 3 > 0), 1.0, 0.0, 1.0]
  got = two.score(batch)
  assert [s.value for s in got] == want
  assert [s.reason for s in got[:4]] == ['correct', 'correct', 'no answer', 'correct']
  assert two.errors == 0 and len(pids(two)) == 2
  assert two.score([]) == []


def test_from_threads(two):
  got = {}
  work = lambda i: got.update({i: two.score([expr(f'1+{i}x', f'{i}x+1'), expr(f'2+{i}x', f'{i}x+1')])})
  threads = [threading.Thread(target=work, args=(i,)) for i in range(2, 6)]
  for t in threads:
    t.start()
  for t in threads:
    t.join()
  assert got == {i: [rewards.CORRECT, rewards.WRONG] for i in range(2, 6)}


def test_workers_hold_no_jax(two):
  two.score([expr('1+x', 'x+1'), expr('1+y', 'y+1')])
  for pid in pids(two):
    with open(f'/proc/{pid}/maps') as f:
      assert 'jax' not in f.read()


def test_a_worker_that_died_between_batches_is_started_again(two):
  two.score([expr('1+x', 'x+1')])
  os.kill(pids(two)[0], signal.SIGKILL)
  assert two.score([expr('1+x', 'x+1')]) == [rewards.CORRECT] and two.errors == 0


def test_numbers_start_no_process(monkeypatch):
  monkeypatch.setattr(subprocess, 'Popen', lambda *a, **k: pytest.fail('a process for a number'))
  with pool.Pool() as p:
    plain = ('math', r'<think> a </think> \boxed{x+1}', {'answer': '1+x', 'answer_type': 'expr'})
    got = p.score([INT, FORM, expr('6=5', 'x+1'), plain, ('math', 'no', INT[2])])
    assert [s.value for s in got] == [1, 1, 0, 1, 0]


def test_a_hang_is_killed_and_the_rest_is_scored():
  with pool.Pool(workers=1, deadline=1.0) as p:
    p.score([expr('1+x', 'x+1')])
    before, start = pids(p), time.monotonic()
    got = p.score([HANG, expr('1+x', 'x+1'), INT, expr('2+x', 'x+1')])
    assert got == [rewards.TIMEOUT, rewards.CORRECT, rewards.CORRECT, rewards.WRONG]
    assert time.monotonic() - start < 20
    assert p.errors == p.timeouts == 1
    assert pids(p) != before and not os.path.exists(f'/proc/{before[0]}')
    after = pids(p)
  assert not os.path.exists(f'/proc/{after[0]}')


def test_a_judge_that_dies_twice_on_an_item_is_an_error():
  with pool.Pool(workers=1, deadline=30.0) as p:
    p.score([expr('1+x', 'x+1')])

    def kill_twice():
      killed = set()
      while len(killed) < 2:
        time.sleep(0.2)
        for pid in set(pids(p)) - killed:
          if p._workers[0].checked:  # it is at work, not starting
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    killer = threading.Thread(target=kill_twice)
    killer.start()
    got = p.score([HANG, expr('1+x', 'x+1')])
    killer.join()
    assert got[0].reason == 'error: the judge died, twice' and got[1] == rewards.CORRECT
    assert (p.errors, p.timeouts) == (1, 0)


def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing():
  batch = [expr(rf'\frac{{{i}\sqrt{{3}}}}{{2}}', rf'{i + i % 2}\sqrt{{3}}/2') for i in range(1, 121)]
  with pool.Pool(workers=2) as p:
    p.score(batch[:4])
    killer = threading.Timer(0.1, lambda: os.kill(pids(p)[0], signal.SIGKILL))
    killer.start()
    got = p.score(batch)
    killer.join()
    assert [s.value for s in got] == [float(i % 2 == 0) for i in range(1, 121)] and p.errors == 0


def test_a_worker_that_reads_nothing_does_not_block():
  with pool.Pool(workers=1, deadline=1.0) as p:
    p.score([expr('1+x', 'x+1')])
    long = ('math', '<think>' + 'a' * 1_000_000 + r'</think> \boxed{1+\sqrt[3]{x}}',
            {'answer': r'\sqrt[3]{x}+1', 'answer_type': 'expr'})
    os.kill(pids(p)[0], signal.SIGSTOP)
    with pytest.raises(TimeoutError):
      p._workers[0].ask(long, 0.5)
    p._workers[0].kill()
    p.deadline = 10.0
    assert p.score([long]) == [rewards.CORRECT]


def test_canary(monkeypatch):
  completion, row = math.CANARY
  monkeypatch.setattr(math, 'CANARY', (completion, {**row, 'answer': r'\sqrt{5}'}))
  with pool.Pool(workers=2) as p:
    assert p.score([INT, FORM]) == [rewards.CORRECT] * 2  # no worker, no canary
    with pytest.raises(RuntimeError, match='known-right.*math'):
      p.score([expr('1+x', 'x+1')] * 3)


def test_rows_that_cannot_be_judged_are_errors():
  with pool.Pool() as p:
    got = p.score([INT, ('math', INT[1], {'answer': 'five', 'answer_type': 'int'}),
                   ('math', INT[1], {'answer': '5', 'answer_type': 'nonsense'})])
    assert [s.value for s in got] == [1, 0, 0] and all(s.reason.startswith('error: ValueError') for s in got[1:])
    assert p.errors == 2
    with pytest.raises(ValueError, match='no reward'):
      p.score([('nonsense', '', {})])


def test_an_orphan_that_hangs_ends_itself():
  child = subprocess.Popen([sys.executable, '-c', pool._SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  request = {'name': 'math', 'completion': HANG[1], 'row': HANG[2], 'seconds': 0.1}
  child.stdin.write(json.dumps(request).encode() + b'\n')
  child.stdin.flush()
  try:
    assert child.wait(timeout=15) == -signal.SIGALRM
  finally:
    child.kill()
    child.communicate()


def test_bad_arguments():
  for bad in ({'workers': 0}, {'deadline': 0}):
    with pytest.raises(ValueError, match='positive'):
      pool.Pool(**bad)
