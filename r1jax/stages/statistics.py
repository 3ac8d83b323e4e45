"""What a rollout looked like: its entries in metrics.jsonl, and the rows of samples/."""

import math
import re

import numpy as np

from r1jax.rewards import format as format_lib
from r1jax.rewards import language
from r1jax.rewards import scenario
from r1jax.stages.judging import Judged
from r1jax.types import Completion

# Words of second thoughts (paper, section 2.2.4 and table 3), whole words, any case.
REFLECTION = re.compile(r'\b(wait|hmm|mistake|however|but|retry|error|verify|wrong|evaluate|check)\b', re.IGNORECASE)
TEXT = ('reflection/words_per_completion', 'language/consistency', 'language/words', 'monitor/helpful_by_rule',
        'monitor/harmless_by_rule')  # what `of_text` counts, in this order


def of_text(row: dict, text: str, *, words: bool) -> list[float]:
  """TEXT of one completion; NaN for what it has not.
  words: count words, letter by letter in Python, as for some only."""
  spoken = format_lib.reasoning(text, row) if words and not row.get('scenario') else None
  helpful = harmless = math.nan
  if 'about' in row:  # what the rules say of answers whose reward a model gives: never trained on
    helpful = scenario.score(text, row).value if row['scenario'] != 'harm' else math.nan
    harmless = scenario.harmless(text, row).value if row['scenario'] == 'harm' else math.nan
  return [float(len(REFLECTION.findall(text))),
          math.nan if spoken is None else language.measured(spoken, row.get('language') or 'en'),
          math.nan if spoken is None else float(len(language.words(spoken))), helpful, harmless]


def facts(completions: list[Completion], judged: Judged, advantages_NxG: np.ndarray, text_Bxk: np.ndarray, *,
          general: bool = False) -> dict[str, float]:
  """The rollout's entries in metrics.jsonl, over all its completions; the same on every host.

  Args:
    text_Bxk: of_text of each.
    general: the stage also asks questions whose reward a model gives.
  """
  std = judged.total_B.reshape(advantages_NxG.shape).std(axis=1)
  correct, signal = judged.by_name.get('accuracy'), std[std > 0]
  lengths = np.array([len(c.tokens) for c in completions])
  names = TEXT if general else TEXT[:3]
  return {
      'reward/mean': float(judged.total_B.mean()),
      **{f'reward/{name}': _mean(values) for name, values in judged.by_name.items()},
      'accuracy/mean': _mean(correct) if correct is not None else math.nan,
      'length/tokens': float(lengths.mean()),
      'length/truncated': float(np.mean([not c.stopped for c in completions])),
      'groups/no_signal': float(np.mean(np.all(advantages_NxG == 0, axis=1))),
      'groups/std_min': float(signal.min()) if len(signal) else math.nan,
      'groups/all_correct_gradient': _all_correct_share(correct, advantages_NxG),
      **{name: _mean(text_Bxk[:, i]) for i, name in enumerate(names)},
      'rewards/errors': judged.errors / len(completions),
      **judged.second,
  }


def by_task(names: list[str], asked: list[str], judged: Judged) -> dict[str, float]:
  """Accuracy of each of several tasks; `asked`: the task of each completion. NaN of one that was not asked."""
  correct = judged.by_name.get('accuracy')
  if len(names) < 2 or correct is None:
    return {}
  return {f'accuracy/{name}': _mean(correct[np.asarray(asked) == name]) for name in names}


def _mean(values) -> float:
  """Mean of those that are no NaN; NaN of none (the same names on every host)."""
  values = np.asarray(values, np.float64)
  return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _all_correct_share(correct, advantages_NxG: np.ndarray) -> float:
  """Share of the sum of |A| that comes from groups in which every answer is right.

  With a continuous reward beside accuracy, answers that differ by a word get advantages as large as right against wrong
  (eq. 3 divides by the group's own deviation): this is how much of the gradient that is. NaN where no answer is graded.
  """
  if correct is None or np.isnan(correct).all():
    return math.nan
  all_right = np.all(correct.reshape(advantages_NxG.shape) == 1.0, axis=1)
  size = np.abs(advantages_NxG).sum(axis=1)
  return float(size[all_right].sum() / size.sum()) if size.sum() else 0.0


def sample_rows(step: int, number: int, rows: list[dict], texts: dict[int, list[str]], completions: list[Completion],
                judged: Judged, advantages_NxG: np.ndarray) -> list[dict]:
  """Rows for samples/: all completions of the groups (by their place in the rollout) whose `texts` are given."""
  G, written = advantages_NxG.shape[1], []
  for i in texts:
    for g in range(G):
      b, row = i * G + g, rows[i]
      written.append({
          'step': step, 'rollout': number, 'group': i, 'sample': g, 'id': row['id'], 'prompt': row['question'],
          'gold': row['answer'], 'completion': texts[i][g], 'tokens': len(completions[b].tokens),
          'finish': 'stop' if completions[b].stopped else 'length',
          'rewards': {n: float(v[b]) for n, v in judged.by_name.items() if not np.isnan(v[b])},
          'reasons': {n: r[b] for n, r in judged.reasons.items() if r.get(b)}, 'reward': float(judged.total_B[b]),
          'advantage': float(advantages_NxG[i, g]),
          'correct': _right(judged.by_name.get('accuracy'), b)})
  return written


def _right(correct, b: int) -> bool | None:
  """Whether completion b is right; None where nobody has graded it."""
  return None if correct is None or np.isnan(correct[b]) else bool(correct[b] == 1.0)
