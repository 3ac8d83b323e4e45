"""What models said -> records of samples.jsonl: verdicts, answers as they vote, languages, words."""

import collections
from concurrent import futures
from typing import Callable, NamedTuple

from r1jax import rewards
from r1jax.rewards import format as form
from r1jax.rewards import judge as judge_lib
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
          **_judged(text, row, verdict), **scoring.harmless(text, row),
          'language': language.measured(reasoning, row.get('language')),
          'words': len(language.words(reasoning)), 'reflection': len(statistics.REFLECTION.findall(text))}


def _judged(text: str, row: dict, verdict: rewards.Score) -> dict:
  """What a judge said, and of a comparison the characters that it saw: with the row all that scores are made of."""
  if not isinstance(verdict, judge_lib.Graded):
    return {}
  chars = {'chars': len(judge_lib.final(text, row))} if row.get('judge') == 'better' else {}
  return {'verdicts': list(verdict.verdicts), **chars}


class Together:
  """Questions for a judge: all that wait are put to it at once, by a thread of one worker, so that it is asked side by
  side and whoever samples never waits."""

  def __init__(self, thread: futures.ThreadPoolExecutor, grade: Callable[[list], list[dict]]):
    """grade: [(row, what the model said), ..] -> a record each."""
    self._thread, self._grade, self._waiting = thread, grade, collections.deque()

  def submit(self, row: dict, said) -> futures.Future:
    """The record, once it is judged."""
    found = futures.Future()
    self._waiting.append((row, said, found))
    self._thread.submit(self._run)
    return found

  def _run(self) -> None:
    some = [self._waiting.popleft() for _ in range(len(self._waiting))]  # nobody else takes any
    if not some:
      return
    try:
      records_ = self._grade([(row, said) for row, said, _ in some])
    except BaseException as e:  # pylint: disable=broad-exception-caught  who waits for them raises it
      for *_, found in some:
        found.set_exception(e)
      return
    for (*_, found), record in zip(some, records_):
      found.set_result(record)
