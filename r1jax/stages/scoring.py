"""Graded samples -> scores: what section 3 of the paper reports of a task, with its errors. Numbers only, no device.

A record is a line of samples.jsonl: a question with exactly n samples. Every mean is over a question's samples first,
then over questions, and its error is over questions: samples of one question are no independent draws of the task.
"""

import math

import numpy as np

from r1jax import rewards
from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import scenario
from r1jax.stages import benchmarks

GENERAL = 'general'  # the task that questions without a right answer are listed under
PASS = 'pass@1'  # the metric of rewards that call an answer right or wrong
RESAMPLES, SEED = 10_000, 0  # of the bootstrap
_AT_ONCE = 1 << 22  # draws of it held at a time


def pass_at_k(n: int, c: int, k: int) -> float:
  """Unbiased probability that one of k samples is right: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, eq. 1)."""
  if not 0 <= c <= n or not 1 <= k <= n:
    raise ValueError(f'needs 0 <= c <= n and 1 <= k <= n: {n=} {c=} {k=}')
  return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def powers(n: int) -> list[int]:
  """The K of pass@K and cons@K: powers of two below n, and n."""
  return [1 << i for i in range(n.bit_length()) if 1 << i < n] + [n]


# --- votes


def majority(answers: list, equal=None):
  """The answer most samples agree on; ties go to the one that came first, None does not vote.

  Args:
    equal: (a, b) -> bool, when two answers are the same one; default: the same text.
  """
  classes = _classes(answers, equal or (lambda a, b: a == b))
  winner = _winner(classes)
  return None if winner is None else answers[classes.index(winner)]


def _classes(answers: list, equal) -> list[int | None]:
  """The number of each answer's candidate, in the order in which they come; None of what does not vote."""
  firsts, found = [], []
  for answer in answers:
    if answer is None:
      found.append(None)
      continue
    number = next((i for i, first in enumerate(firsts) if equal(first, answer)), len(firsts))
    if number == len(firsts):
      firsts.append(answer)
    found.append(number)
  return found


def _winner(classes: list[int | None], weights=None) -> int | None:
  """The candidate with most votes, or whose votes weigh most."""
  votes = {}
  for candidate, weight in zip(classes, weights or [1] * len(classes)):
    if candidate is not None:
      votes[candidate] = votes.get(candidate, 0) + weight
  return max(votes, key=votes.get) if votes else None  # of equal ones the first


def same_answer(row: dict):
  """(sample, sample) -> whether their answers are one candidate in a vote.

  Right answers are, as all of them equal the gold one; wrong ones where their rule says that they are equal, or their
  texts are. So the winner's own verdict counts, however it and the gold answer are spelled.
  """
  equivalent = getattr(rewards.get(row.get('reward', 'math')), 'equivalent', lambda a, b, row: a == b)

  def equal(a: dict, b: dict) -> bool:
    if a['correct'] or b['correct']:
      return a['correct'] and b['correct']
    return equivalent(a['answer'], b['answer'], row)

  return equal


def _candidates(samples: list[dict], row: dict) -> list[int | None]:
  return _classes([s if s['answer'] is not None else None for s in samples], same_answer(row))


def _right(samples: list[dict], classes: list[int | None], weights=None) -> bool:
  winner = _winner(classes, weights)
  return winner is not None and samples[classes.index(winner)]['correct']


def voted_right(samples: list[dict], row: dict, weights=None) -> bool:
  """Whether the answer that most samples agree on is right; weights: of their votes, 1 each if not given."""
  return _right(samples, _candidates(samples, row), weights)


def consensus(samples: list[dict], row: dict, sizes: list[int]) -> list[float]:
  """cons@k of a question for each k: over all n samples whether the vote is right, for k < n the mean over the n // k
  disjoint blocks in sample order. What is one candidate is found once, over all samples."""
  n, classes = len(samples), _candidates(samples, row)
  block = lambda start, k: _right(samples[start:start + k], classes[start:start + k])
  return [sum(block(start, k) for start in range(0, n // k * k, k)) / (n // k) for k in sizes]


def _can_vote(row: dict) -> bool:
  """Answers to programs and to general questions agree with nothing: each is a text of its own."""
  return row.get('reward', 'math') not in ('code', 'tested', 'scenario')


# --- means


def metric_of(row: dict) -> str:
  """The name of what a row's reward measures: PASS of a verdict; of a graded value the reward module's METRIC ('f1',
  ..), or what a row that names its reward says as `metric`. The mean of the values is then the score, but for a judge's
  verdicts, see _of_judge."""
  if row.get('reward') and row.get('metric'):
    return row['metric']
  if judge_lib.needed(row):
    return judge_lib.scores.METRICS[row.get('judge', 'same')]
  return getattr(rewards.get(row.get('reward', 'math')), 'METRIC', PASS)


def stderr(values_Q: np.ndarray) -> float | None:
  """Standard error of a mean over questions; None of one question."""
  return float(values_Q.std(ddof=1) / len(values_Q)**0.5) if len(values_Q) > 1 else None


def interval(values_Q: np.ndarray, share: float = 0.95) -> tuple[float, float] | tuple[None, None]:
  """Bootstrap interval of a mean over questions: percentiles of the means of RESAMPLES draws of as many questions with
  replacement, always the same draws (numpy's default_rng(SEED)). (None, None) of one question."""
  count = len(values_Q)
  if count < 2:
    return None, None
  rng, means, rows = np.random.default_rng(SEED), [], max(1, _AT_ONCE // count)
  for start in range(0, RESAMPLES, rows):
    means.append(values_Q[rng.integers(count, size=(min(rows, RESAMPLES - start), count))].mean(axis=1))
  low, high = np.percentile(np.concatenate(means), [50 * (1 - share), 50 * (1 + share)])
  return float(low), float(high)


def _with_error(name: str, values_Q) -> dict:
  values_Q = np.asarray(values_Q, float)
  return {name: float(values_Q.mean()), f'{name}_stderr': stderr(values_Q)}


def _main(name: str, values_QxG: np.ndarray) -> dict:
  """A score, its standard error clustered by question, and its bootstrap interval."""
  of_question = values_QxG.mean(axis=1)
  low, high = interval(of_question)
  return {name: float(values_QxG.mean()), f'{name}_stderr': stderr(of_question), f'{name}_low': low,
          f'{name}_high': high}


def mean(values) -> float | None:
  """Mean of those that are no NaN; None of none."""
  values = np.asarray(values, float)
  return float(np.nanmean(values)) if np.isfinite(values).any() else None


def check_whole(records: list[dict], rows: list[dict], n: int) -> None:
  """Every question once, in order, with exactly n samples (missing ones that count as wrong halve pass@1 as n doubles).

  Raises:
    UserError: it is otherwise; names the question.
  """
  for record, row in zip(records, rows):
    if record['id'] != row['id']:
      raise UserError(f'samples of question {record["id"]!r} stand where those of {row["id"]!r} should')
  if len(records) != len(rows):
    few = len(records) < len(rows)
    first = rows[len(records)] if few else records[len(rows)]
    raise UserError(f'{len(records)} questions have samples, {len(rows)} were asked: the first that '
                    f'{"is missing" if few else "is too many"} is {first["id"]!r}')
  for record in records:
    if len(record['samples']) != n:
      raise UserError(f'question {record["id"]} has {len(record["samples"])} samples, {n} wanted')


def scores(records: list[dict], rows: list[dict], settings: dict, task: str) -> dict:
  """scores.json of a task, by docs/evaluation.md.

  Args:
    records: of every row, in order; texts may be left out.
    settings: n_samples, temperature, top_p, max_tokens; of judged ones judge_model.

  Raises:
    UserError: a question has not n samples; names it. A judge of whose verdicts none can be read.
  """
  n, metric = settings['n_samples'], metric_of(rows[0])
  check_whole(records, rows, n)
  said = [s for r in records for s in r['samples']]
  out = {'task': task, 'n_questions': len(records), 'n_samples': n, 'metric': metric}
  if judge_lib.needed(rows[0]):
    out |= {**_of_judge(records, rows, metric), 'judge': settings.get('judge_model', '')}
  elif metric == PASS:
    out |= _of_verdicts(records, rows, n)
  else:
    out |= _main(metric, np.array([[s['value'] for s in r['samples']] for r in records], float))
  lengths = np.array([s['tokens'] for s in said])
  out |= {'errors': float(np.mean([s['reason'].startswith(('error', 'timeout')) for s in said])),
          'truncated': float(np.mean([s['finish'] == 'length' for s in said])),
          'length_tokens': float(lengths.mean()), 'length_tokens_p50': float(np.percentile(lengths, 50)),
          'length_tokens_p90': float(np.percentile(lengths, 90)),
          'language_consistency': mean([s['language'] for s in said]),
          'words': float(np.mean([s['words'] for s in said])),
          'reflection_words': float(np.mean([s['reflection'] for s in said]))}
  return {**out, **{k: settings[k] for k in ('temperature', 'top_p', 'max_tokens')},
          'grader': f"r1jax.rewards.{rows[0].get('reward', 'math')}", **benchmarks.facts(records, rows)}


def _of_verdicts(records: list[dict], rows: list[dict], n: int) -> dict:
  right_QxG = np.array([[s['correct'] for s in r['samples']] for r in records], float)
  counts, sizes = right_QxG.sum(axis=1).astype(int), powers(n)
  out = _main(PASS, right_QxG)
  for k in sizes:
    if k > 1:
      out |= _with_error(f'pass@{k}', [pass_at_k(n, int(c), k) for c in counts])
  voted = [k for k in sizes if k > 1 or n == 1]
  if not _can_vote(rows[0]):
    return {**out, f'cons@{n}': None}
  votes_QxK = np.array([consensus(r['samples'], row, voted) for r, row in zip(records, rows)])
  for k, votes_Q in zip(voted, votes_QxK.T):
    out |= _with_error(f'cons@{k}', votes_Q)
  return out


def _of_judge(records: list[dict], rows: list[dict], metric: str) -> dict:
  """The numbers of rewards/judge/scores.py, over samples first and then over questions; of samples whose verdict can be
  read, as `errors` counts the others. Intervals are by resampling questions, with all that they have."""
  read = [(row, [s for s in record['samples'] if s.get('verdicts')]) for row, record in zip(rows, records)]
  read = [(row, samples) for row, samples in read if samples]
  if not read:
    raise UserError(f"{rows[0].get('benchmark') or rows[0].get('task') or 'a task'}: none of the judge's verdicts on "
                    f'{len(rows)} questions can be read: another model as the judge, in another work dir')
  kind = rows[0].get('judge', 'same')
  if kind == 'grade':
    found = judge_lib.scores.arena([tuple(v for s in samples for v in s['verdicts']) for _, samples in read])
    return {key: found[key] for key in ('winrate', 'winrate_low', 'winrate_high', 'elo')}
  of_question = np.array([np.mean([s['value'] for s in samples]) for _, samples in read])
  if kind == 'better':
    flat = [(i, row, s) for i, (row, samples) in enumerate(read) for s in samples]
    hard = [row['difficulty'] for _, row, _ in flat] if all('difficulty' in row for row, _ in read) else None
    found = judge_lib.scores.length_controlled(
        [s['value'] for *_, s in flat], [s['chars'] for *_, s in flat], [len(row['baseline']) for _, row, _ in flat],
        hard, questions_N=[i for i, *_ in flat])
    low, high = found.interval
    return {'lc_winrate': found.lc_winrate, 'lc_winrate_low': low, 'lc_winrate_high': high,
            **_main('winrate', of_question[:, None])}
  if kind != 'correct':
    return _main(metric, of_question[:, None])
  share = {name.lower(): float(np.mean([np.mean([s['verdicts'][0] == name for s in samples]) for _, samples in read]))
           for name in judge_lib.scores.GRADES}
  return {**_main(metric, of_question[:, None]), **share, **judge_lib.scores.attempted(share)}


def general(records: list[dict], rows: list[dict], settings: dict, task: str) -> dict:
  """scores.json of questions without a right answer, by the rules; what reward models say comes to it later.

  helpfulness: by the rule that made the preference pairs; harmlessness: share of answers to harmful questions that tell
  nothing harmful, reasoning included.
  """
  check_whole(records, rows, settings['n_samples'])
  asked = [(row, sample) for row, record in zip(rows, records) for sample in record['samples']]
  out = {'task': task, 'n_questions': len(rows), 'n_samples': settings['n_samples'],
         'length_tokens': float(np.mean([s['tokens'] for _, s in asked]))}
  if all('about' in row for row in rows):
    out['helpfulness'] = mean([s['value'] for row, s in asked if row['scenario'] != 'harm'])
    out['harmlessness'] = mean([s['harmless'] for row, s in asked if row['scenario'] == 'harm'])
    for kind in sorted({row['scenario'] for row in rows}):
      out[f'helpfulness_{kind}'] = mean([s['value'] for row, s in asked if row['scenario'] == kind])
  return out


def harmless(text: str, row: dict) -> dict:
  """{'harmless': by the rule} of an answer to a harmful question that the rule knows; else {}."""
  return {'harmless': scenario.harmless(text, row).value} if 'about' in row and row.get('scenario') == 'harm' else {}


# --- what others show of them


def headline(result: dict) -> tuple[str, float]:
  """(name, value) of a task's score."""
  name = result.get('metric', PASS)
  return name, result[name]


def as_metrics(result: dict) -> dict:
  """eval/TASK/... names of metrics.jsonl from a scores.json; what a task has no value of is left out. Of pass@K and
  cons@K the largest K; the others are in scores.json alone."""
  n, task, metric = result['n_samples'], result['task'], result.get('metric', PASS)
  names = (metric, f'{metric}_stderr', f'{metric}_low', f'{metric}_high', f'pass@{n}', f'cons@{n}', 'length_tokens',
           'length_tokens_p50', 'length_tokens_p90', 'truncated', 'n_questions', 'language_consistency', 'words',
           'reflection_words')
  return {f'eval/{task}/{name}': result[name] for name in names if result.get(name) is not None}
