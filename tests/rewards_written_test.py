"""What people wrote down as right and wrong, before looking: every wrong answer is refused, right ones are paid."""

import pytest

import rewards_written_pairs
import rewards_written_pairs2
import rewards_written_pairs3
from r1jax.data import answers
from r1jax.rewards import pool


def judged(pairs):
  """[(pair, paid)]; the type is inferred from the gold answer, as that of a row that names none."""
  items = [('math', rf'<think> t </think> \boxed{{{answer}}}',
            {'answer': gold, 'answer_type': answers.infer(gold, *question)}) for _, gold, answer, _, *question in pairs]
  with pool.Pool(workers=2, deadline=10.0) as judges:
    return [(pair, score.value == 1.0) for pair, score in zip(pairs, judges.score(items))]


def check(pairs):
  found = judged(pairs)
  right = [paid for pair, paid in found if pair[3]]
  assert not [pair for pair, paid in found if paid and not pair[3]]
  assert sum(right) >= 0.98 * len(right), [pair for pair, paid in found if pair[3] and not paid][:10]


def test_the_first_list():
  check(rewards_written_pairs.PAIRS)


@pytest.mark.slow
def test_the_second_list():
  """Last run 2026-11-26: 1,376 of 1,376 right ones paid, 0 of 2,929 wrong ones; before it had been looked at 1,317 of
  1,377 and 3."""
  check(rewards_written_pairs2.PAIRS + rewards_written_pairs2.MORE_WRONG)


@pytest.mark.slow
def test_the_third_list():
  """Written by other hands, unseen. Before it had been looked at, 2026-11-26: 356 of 382 right ones paid, 0 of 339
  wrong ones; then 375 and 0. What stays: "The answer is 5" within a box, 6 times, a set less a point."""
  check([('', *pair) for pair in rewards_written_pairs3.PAIRS])
