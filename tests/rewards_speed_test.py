"""How fast rewards are, and that nothing hostile holds them up: pytest -m slow -n 0 -s tests/rewards_speed_test.py

Alone on the machine. docs/rewards.md has the last figures.
"""

import concurrent.futures
import json
import random
import statistics
import time

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from r1jax.rewards import pool
from r1jax.rewards import sandbox
import rewards_math_pairs_test as pairs
import rewards_math_table as table
import runs

pytestmark = pytest.mark.slow
TOKENS = ['\\frac', '\\sqrt', '\\boxed', '{', '}', '(', ')', '[', ']', '\\{', '\\}', '^', '_', '+', '-', '*', '/', '!',
          '=', ',', ';', '<', '\\le', '\\cup', '\\pm', '\\in', '\\text', 'x', 'y', '7', '77', '9', '10', '0.1', '\\pi',
          '\\infty', '\\sin', '\\log', '\\int', '\\sum', '\\lim', '\\begin{pmatrix}', '\\end{pmatrix}', '&', '\\\\',
          ' ', '$', '\\', '%', 'e', 'i', '\\left', '\\right', '\\cdot', '\\circ', 'and', 'or', '\u2212', '\ud800',
          '\x00']


def items(said: str):
  for kind, gold in pairs.GOLDS.items():
    yield pairs.item(kind, gold, said)


def test_a_hundred_thousand_hostile_answers():
  """No crash, no hang; p99 <= 50 ms a verdict, none over the deadline of 2 s (and 0.5 s to notice)."""
  seconds, reasons = [], {}
  rng = random.Random(0)
  kinds = list(pairs.GOLDS.items())

  with pool.Pool(workers=2) as judges:
    judges.score([pairs.item('expr', r'\sqrt[3]{x}+7', r'7+\sqrt[3]{x}')] * 8)  # the workers start

    def judge(said):
      kind, gold = kinds[len(seconds) % len(kinds)]
      start = time.monotonic()
      score, = judges.score([pairs.item(kind, gold, said)])
      seconds.append(time.monotonic() - start)
      reasons[score.reason] = reasons.get(score.reason, 0) + 1
      if score.reason == 'timeout':  # its successor starts in the next verdict, which is not the answer's fault
        judges.score([pairs.item('expr', r'\sqrt[3]{x}+7', r'7+\sqrt[3]{x}')] * 2)

    @settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.one_of(st.lists(st.sampled_from(TOKENS), max_size=40).map(''.join), st.text(max_size=60)),
                    min_size=100, max_size=100))
    def found_by_hypothesis(texts):
      for said in texts:
        judge(said)

    found_by_hypothesis()
    answers = [said for _, _, said, *_ in table.PAIRS]
    while len(seconds) < 100_000 - len(table.HOSTILE):
      said = list(rng.choice(answers))
      for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(said) + 1)
        said[at:at + rng.randint(0, 2)] = rng.choice([rng.choice(TOKENS), ''.join(rng.choice(answers)), ''])
      judge(''.join(said))
    for said in table.HOSTILE:
      judge(said)
    seconds.sort()
  print(f'\n{len(seconds)} verdicts, {reasons}: median {statistics.median(seconds) * 1e3:.2f} ms, p99 '
        f'{seconds[int(0.99 * len(seconds))] * 1e3:.1f} ms, slowest {seconds[-1]:.2f} s')
  assert len(seconds) >= 100_000 and not any(r.startswith('error') for r in reasons)
  assert seconds[int(0.99 * len(seconds))] <= 0.05 and seconds[-1] <= 2.5


def test_verdicts_a_second():
  with pool.Pool(workers=2) as judges:
    numbers = [pairs.item('int', str(i), str(i + i % 2)) for i in range(1, 40_001)]
    # No two the same, none equal as text, half of them right.
    expressions = [pairs.item('expr', rf'\frac{{{i}x+\sqrt{{{i}}}}}{{2}}',
                              rf'\frac{{{i + i % 2}x}}{{2}}+\frac{{\sqrt{{{i}}}}}{{2}}') for i in range(2, 2002)]
    # What only sympy reads.
    roots = [pairs.item('expr', rf'\sqrt[3]{{{i}x}}+{i}', rf'{i + i % 2}+\sqrt[3]{{{i}x}}') for i in range(2, 402)]
    judges.score(roots[:8])
    rates = {}
    for name, batch in (('integers', numbers), ('expressions', expressions), ('expressions by sympy', roots)):
      start = time.monotonic()
      found = judges.score(batch)
      rates[name] = len(batch) / (time.monotonic() - start)
      assert sum(s.value for s in found) == pytest.approx(len(batch) / 2, abs=1)
  print(f'\nverdicts a second: {rates}')
  assert rates['integers'] >= 20_000 and rates['expressions'] >= 300


def test_programs_a_second():
  """Two workers; a box for each test, and one for all tests of a program."""
  cxx = '#include <cstdio>\nint main() { int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b); }'
  programs = {'python': 'print(sum(map(int, input().split())))', 'cpp': cxx}
  rates = {}
  for language, code in programs.items():
    for fresh, n in ((True, 100), (False, 400)):
      tests = [{'stdin': f'{i} 1', 'stdout': f'{i + 1}'} for i in range(n)]
      work = lambda some: sandbox.judge(code, language, some, fresh_boxes=fresh)
      with concurrent.futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(work, [tests[:4]] * 2))
        start = time.monotonic()
        found = list(threads.map(work, [tests] * 2))
        rates[language, 'a box a test' if fresh else 'a box a program'] = 2 * n / (time.monotonic() - start)
      assert all(v == 'AC' for some in found for v in some)
  print(f'\ntests a second: {rates}')
  assert rates['python', 'a box a test'] >= 60 and rates['cpp', 'a box a test'] >= 65
  assert rates['python', 'a box a program'] >= 150 and rates['cpp', 'a box a program'] >= 150


def test_judging_overlaps_the_reference_pass(tmp_path, monkeypatch):
  """A reward that sleeps as long as the reference's log-probs take adds at most 10 % to a step."""
  import jax
  from r1jax import pipeline
  from r1jax.stages import judging, policy

  config = runs.experiment('r1_zero', 'tiny')
  config.base.steps, config.base.documents, config.rl.steps, config.rl.eval_every = 4, 500, 16, 0
  config.mesh = dict(data=8, fsdp=1, tensor=1, expert=1)
  config.stages = config.stages[:2]
  passes, sleep = [], [None]
  reference, add = policy.Policy.minibatches, judging.Verdicts.add

  def minibatches(self, *args):
    start = time.monotonic()
    out = reference(self, *args)
    if sleep[0] is None:  # in the first run, until the devices have it
      jax.block_until_ready([rows for part in out for _, rows, _ in part.micro_batches])
      passes.append(time.monotonic() - start)
    return out

  def added(self, *args):
    add(self, *args)
    if len(self._jobs) == config.rl.groups * config.rl.minibatches:  # behind the last group's verdicts
      self._jobs.append(self._scorer.thread.submit(time.sleep, sleep[0] or 0.0))

  monkeypatch.setattr(policy.Policy, 'minibatches', minibatches)
  monkeypatch.setattr(judging.Verdicts, 'add', added)

  def step_seconds(name):
    pipeline.run(config, str(tmp_path / name))
    rows = [json.loads(line) for line in (tmp_path / name / '2_rl' / 'metrics.jsonl').read_text().splitlines()]
    return [r['step/seconds'] for r in rows if 'step/seconds' in r][4:]

  step_seconds('warm')
  sleep[0] = 0.0
  quick = statistics.median(step_seconds('quick'))
  sleep[0] = statistics.median(passes)
  slow = statistics.median(step_seconds('slow'))
  print(f'\nreference pass {sleep[0]:.2f} s; a step {quick:.3f} s, with a reward that sleeps as long {slow:.3f} s: '
        f'x {slow / quick:.3f}')
  assert sleep[0] > 0.1 * quick and slow <= 1.1 * quick
