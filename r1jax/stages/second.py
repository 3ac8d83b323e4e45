"""A second, independent grader, which looks at some of the verdicts that a policy is paid by."""

import math

from r1jax import rewards
from r1jax.stages import gradable

NOTHING = {'rewards/disagreement': math.nan, 'rewards/overpaid': math.nan}  # the same names on every host


def again(pool, kept: list | None, rows: list[dict], texts: list[str], sample: int = 32) -> dict[str, float]:
  """A second, independent grader on verdicts spread evenly over the batch: shares of those that it could judge, too.

  'rewards/disagreement': the two differ; 'rewards/overpaid': of all, right by the first and wrong by the second, the
  kind that a policy would learn to make.
  """
  if kept is None:
    return NOTHING
  asked = []  # (verdict, whether the second agrees or an item to ask)
  for b in range(0, len(texts), max(1, len(texts) // sample)):
    if gradable.module('accuracy', rows[b]) == 'math':
      verdict = kept[b][0] == 1.0
      asked.append((verdict, rewards.get('math').second(verdict, texts[b], rows[b])))
  found = iter(pool.score([item for _, item in asked if isinstance(item, tuple)], count_errors=False))
  judged = []
  for verdict, answer in asked:
    if isinstance(answer, tuple):
      score = next(found)
      answer = (score.value == 1.0) == verdict if score.reason in ('correct', 'wrong') else None
    if answer is not None:
      judged.append((verdict, answer))
  if not judged:
    return NOTHING
  return {'rewards/disagreement': sum(not agrees for _, agrees in judged) / len(judged),
          'rewards/overpaid': sum(verdict and not agrees for verdict, agrees in judged) / len(judged)}
