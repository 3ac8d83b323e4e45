"""What models said -> records of samples.jsonl: verdicts, answers as they vote, languages, words."""

from concurrent import futures
import queue
import threading
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


def as_said(tokenizer, completions) -> list[Said]:
  """Samples as a sampler gives them."""
  texts = tokenizer.decode_batch([c.tokens for c in completions])
  return [Said(text, len(c.tokens), 'stop' if c.stopped else 'length') for text, c in zip(texts, completions)]


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
  """Questions for a judge: all that wait are put to it at once, so that it is asked side by side and whoever samples
  never waits. Its thread is a daemon: a run that ends does not wait for a server."""

  def __init__(self, grade: Callable[[list], list[dict]]):
    """grade: [(row, what the model said), ..] -> a record each."""
    self._grade, self._waiting, self._thread = grade, queue.SimpleQueue(), None

  def submit(self, row: dict, said) -> futures.Future:
    """The record, once it is judged."""
    if self._thread is None:
      self._thread = threading.Thread(target=self._work, name='judging', daemon=True)
      self._thread.start()
    found = futures.Future()
    self._waiting.put((row, said, found))
    return found

  def close(self) -> None:
    """What still waits is not judged."""
    self._waiting.put(None)

  def _work(self) -> None:
    while True:
      some = [self._waiting.get()]
      while not self._waiting.empty():  # nobody else takes any
        some.append(self._waiting.get())
      if None in some:
        return
      self._judge(some)

  def _judge(self, some: list) -> None:
    try:
      found = self._grade([(row, said) for row, said, _ in some])
    except BaseException as e:  # pylint: disable=broad-exception-caught  who waits for them raises it
      for *_, record in some:
        record.set_exception(e)
      return
    for (*_, record), value in zip(some, found):
      record.set_result(value)
