"""What models said -> records of samples.jsonl: verdicts, answers as they vote, languages, words."""

from typing import NamedTuple

from r1jax import rewards
from r1jax.rewards import format as form
from r1jax.rewards import language
from r1jax.rewards import pool
from r1jax.stages import scoring
from r1jax.stages import statistics


class Said(NamedTuple):
  """A sample, before anybody has judged it."""
  text: str
  tokens: int  # of the completion, the one that ends it included
  finish: str  # 'stop' | 'length', cut off at the limit


def records(judges: pool.Pool, asked: list[tuple[dict, list[Said]]]) -> list[dict]:
  """A record for each (row, what its samples say); verdicts come from processes of their own wherever a clock is
  needed. A row is as its task gave it, with the format that answers have (formats.py)."""
  items = [(row.get('reward', 'math'), said.text, row) for row, samples in asked for said in samples]
  found = iter(judges.score(items))
  return [{'task': row.get('task', ''), 'id': row['id'], 'prompt': row['question'], 'gold': row['answer'],
           'samples': [_sample(row, said, next(found)) for said in samples]} for row, samples in asked]


def _sample(row: dict, said: Said, verdict: rewards.Score) -> dict:
  grader, text = rewards.get(row.get('reward', 'math')), said.text
  answer = grader.extract(text, row) if hasattr(grader, 'extract') else None
  reasoning = form.reasoning(text, row)
  graded = verdict.reason == 'measured' or scoring.metric_of(row) != scoring.PASS
  return {'text': text, 'tokens': said.tokens, 'finish': said.finish,
          'answer': None if answer is None else grader.normalise(answer, row['answer_type']),
          'correct': verdict.value == 1.0, 'reason': verdict.reason, **({'value': verdict.value} if graded else {}),
          **scoring.harmless(text, row), 'language': language.measured(reasoning, row.get('language')),
          'words': len(language.words(reasoning)), 'reflection': len(statistics.REFLECTION.findall(text))}
