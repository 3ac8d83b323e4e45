"""What rl.py says about a rollout: rewards per completion, the row of metrics, the rows of samples."""

from concurrent import futures
import glob
import hashlib
import json
import logging
import math
import os
import re
from typing import NamedTuple

import numpy as np

from r1jax.engine import checkpoint
from r1jax import rewards
from r1jax.rewards import format as format_lib
from r1jax.rewards import language
from r1jax.rewards import pool as pool_lib
from r1jax.rewards import scenario
from r1jax.types import Rollout, RunStopped, UserError

log = logging.getLogger('r1jax')

# Words of second thoughts (paper, section 2.2.4 and table 3), whole words, any case.
REFLECTION = re.compile(r'\b(wait|hmm|mistake|however|but|retry|error|verify|wrong|evaluate|check)\b', re.IGNORECASE)


MODELS = ('helpful', 'harmless', 'process')  # rewards that a model gives, not a module of rewards/
_NO_CLOCK = ('int', 'rational', 'decimal', 'choice', 'text')  # answers that are never judged against a clock


class Judged(NamedTuple):
  """Verdicts on B completions."""
  total_B: np.ndarray  # float32, weighted sum: what GRPO sees
  by_name: dict[str, np.ndarray]  # reward name -> [B] values, unweighted
  reasons: dict[str, list[str]]  # reward name -> B reasons
  errors: int  # verdicts that are no verdict
  second: dict[str, float]  # what the second grader found, see _again


class Scorer:
  """Weighted sum of rewards, found while the devices do something else.

  Verdicts are kept on disk until a checkpoint has passed their rollout (`forget`): one that hung on a clock (a timed-out
  expression) would otherwise differ when an interrupted run samples the same rollout again.
  """

  def __init__(self, weights: dict[str, float], workdir: str, rows: list[dict], *, max_tokens: int = 0,
               overlong_buffer: int = 0):
    """max_tokens, overlong_buffer: in tokens, for the rewards of length.py."""
    # Accuracy first: its verdicts are those that a second grader sees.
    self._weights = {name: weights[name] for name in sorted(weights, key=lambda n: n != 'accuracy') if weights[name]}
    if not self._weights:
      raise UserError(f'all rewards are off ({weights}): nothing to learn from')
    if 'accuracy' not in self._weights and any(name in MODELS for name in self._weights):
      self._weights = {'accuracy': 0.0, **self._weights}  # it earns nothing, but a model is watched by the rule
    self._directory = os.path.join(workdir, 'verdicts')
    self._pool = pool_lib.Pool()
    self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix='rewards')
    self._lengths = {'max_tokens': max_tokens, 'overlong_buffer': overlong_buffer}
    ruled = [name for name in self._weights if name not in MODELS]
    if 'language' in ruled:
      check_languages(rows, "give the reward 'language' the weight 0")
    start({module(name, row) for name in ruled for row in rows if applies(name, row)}, [r for r in rows if not r.get('scenario')])
    _check_ideal({name: self._weights[name] for name in ruled}, rows[0])

  def begin(self, number: int, rows: list[dict], texts: list[str], out: Rollout,
            measured: dict[str, np.ndarray] | None = None) -> futures.Future:
    """Judges completion b of rows[b], rollout `number`, in the background: the future of a Judged.

    measured: values [B] of rewards that reward models gave already (reward_model.RewardModel).
    """
    rows = [{**row, **self._lengths, 'tokens': int(n), 'stopped': bool(stopped)}
            for row, n, stopped in zip(rows, out.lengths_B, out.stopped_B)]
    return self._thread.submit(self._judge, number, rows, texts, measured or {})

  def _judge(self, number: int, rows: list[dict], texts: list[str], measured: dict[str, np.ndarray]) -> Judged:
    names = [name for name in self._weights if name not in MODELS]
    where = {name: [b for b, row in enumerate(rows) if applies(name, row)] for name in self._weights}
    digest = hashlib.sha256(json.dumps([number, names, [r['id'] for r in rows], texts]).encode()).hexdigest()
    path = os.path.join(self._directory, f'{number:08d}.json')
    kept, again = self._kept(path, digest)
    if kept is None:
      items = [(module(name, rows[b]), texts[b], rows[b]) for name in names for b in where[name]]
      verdicts = self._pool.score(items)
      kept = [[v.value, v.reason] for v in verdicts]
      ruled = where.get('accuracy', [])
      again = _again(self._pool, kept[:len(ruled)] if ruled else None, [rows[b] for b in ruled], [texts[b] for b in ruled])
      if any(module('accuracy', rows[b]) != 'math' or rows[b].get('answer_type') not in _NO_CLOCK for b in ruled):
        checkpoint.write_json(path, {'digest': digest, 'verdicts': kept, 'again': again}, every_host=True)
    by_name, reasons, total, found = {}, {}, np.zeros(len(texts), np.float32), iter(kept)
    for name, weight in self._weights.items():
      values, why = np.full(len(texts), np.nan, np.float32), [''] * len(texts)
      for b in where[name]:
        values[b], why[b] = (measured[name][b], 'measured') if name in MODELS else next(found)
      by_name[name], reasons[name] = values, why
      total = total + np.float32(weight) * np.nan_to_num(values)
    errors = [r for n in names for r in reasons[n] if r.startswith(('error', 'timeout'))]
    if errors:
      log.warning('%d of %d verdicts are errors; the first: %s', len(errors), len(kept), errors[0])
    return Judged(total, by_name, reasons, len(errors), again)

  def _kept(self, path: str, digest: str):
    if os.path.exists(path):
      with open(path, encoding='utf-8') as f:
        kept = json.load(f)
      if kept['digest'] == digest:
        return kept['verdicts'], kept['again']
    return None, {}

  def forget(self, before: int) -> None:
    """Verdicts of rollouts that no restart will sample again."""
    for path in glob.glob(os.path.join(self._directory, '*.json')):
      if int(os.path.basename(path)[:-5]) < before:
        os.remove(path)

  def close(self) -> None:
    self._thread.shutdown()
    self._pool.close()


def applies(name: str, row: dict) -> bool:
  """Whether a reward speaks of this row (section 2.3.4): rules of accuracy of questions that reason, reward models of
  general ones ('scenario'), helpfulness not of those whose answer does harm; language, format and length of all."""
  general = bool(row.get('scenario'))
  return {'accuracy': not general, 'process': not general, 'helpful': general and row.get('scenario') != 'harm', 'harmless': general}.get(name, True)


def module(name: str, row: dict) -> str:
  """The reward module behind a config's name: accuracy is graded by what the row asks for."""
  return row.get('reward', 'math') if name == 'accuracy' else name


def start(names: set[str], rows: list[dict]) -> None:
  """Whatever rewards must be sure of before anything is generated.

  Raises:
    UserError: one cannot work here; with file and line, for the first row whose gold answer or tests cannot be read.
  """
  for name in sorted(names):
    getattr(rewards.get(name), 'start', lambda: None)()
  try:
    pool_lib.check_rows(rows)
  except ValueError as e:
    raise UserError(str(e)) from e


def check_languages(rows: list[dict], instead: str) -> None:
  """Raises UserError for a row whose language's words cannot be told; `instead`: the way out, beside another language."""
  for row in rows:
    try:
      language.consistency('', row.get('language') or 'en')
    except ValueError as e:
      raise UserError(f"{row.get('where') or 'row ' + str(row['id'])}: {e}; or {instead}") from e


def _check_ideal(weights: dict[str, float], row: dict) -> None:
  """An ideal answer must score 1 (a penalty: 0), or template and parser do not fit."""
  for name in weights:
    reward = rewards.get(module(name, row))
    want = getattr(reward, 'IDEAL_SCORE', 1.0)
    if want is None or not row.get('answer'):
      continue
    text = format_lib.ideal(row['answer'], row.get('prefill', ''), row)
    score = reward.score(text, {**row, 'tokens': 0, 'max_tokens': 2, 'overlong_buffer': 1, 'stopped': True})
    if score.value != want:
      raise UserError(f'an ideal answer to row {row["id"]} scores {score.value} ({score.reason}) for reward {name!r}, not {want}')


def _again(pool, kept: list | None, rows: list[dict], texts: list[str], sample: int = 32) -> dict[str, float]:
  """A second, independent grader on verdicts spread evenly over the batch: shares of those that it could judge, too.

  'rewards/disagreement': the two differ; 'rewards/overpaid': of all, right by the first and wrong by the second, the
  kind that a policy would learn to make.
  """
  nothing = {'rewards/disagreement': math.nan, 'rewards/overpaid': math.nan}  # the same names on every host
  if kept is None:
    return nothing
  asked = []  # (verdict, whether the second agrees or an item to ask)
  for b in range(0, len(texts), max(1, len(texts) // sample)):
    if module('accuracy', rows[b]) == 'math':
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
    return nothing
  return {'rewards/disagreement': sum(not agrees for _, agrees in judged) / len(judged),
          'rewards/overpaid': sum(verdict and not agrees for verdict, agrees in judged) / len(judged)}


def facts(out: Rollout, judged: Judged, advantages_NxG: np.ndarray, rows: list[dict], texts: list[str], *,
          general: bool = False) -> dict[str, float]:
  """The rollout's entries in metrics.jsonl, of the same names on every host.

  general: the stage also asks questions whose reward a model gives, though none may be among these rows.
  """
  groups = judged.total_B.reshape(advantages_NxG.shape)
  std = groups.std(axis=1)
  correct = judged.by_name.get('accuracy')
  signal = std[std > 0]
  some = range(0, len(texts), -(-len(texts) // 512))  # words are counted in Python, letter by letter
  spoken = [format_lib.reasoning(texts[b], rows[b]) for b in some if not rows[b].get('scenario')]
  languages = [rows[b].get('language') or 'en' for b in some if not rows[b].get('scenario')]
  return {
      'reward/mean': float(judged.total_B.mean()),
      **{f'reward/{name}': _mean(values) for name, values in judged.by_name.items()},
      'accuracy/mean': _mean(correct) if correct is not None else 0.0,
      'length/tokens': float(out.lengths_B.mean()),
      'length/truncated': float(1.0 - out.stopped_B.mean()),
      'groups/no_signal': float(np.mean(np.all(advantages_NxG == 0, axis=1))),
      'groups/std_min': float(signal.min()) if len(signal) else 0.0,
      'groups/all_correct_gradient': _all_correct_share(correct, advantages_NxG),
      'reflection/words_per_completion': float(np.mean([len(REFLECTION.findall(t)) for t in texts])),
      'language/consistency': _mean([language.measured(t, l) for t, l in zip(spoken, languages)]),
      'language/words': _mean([len(language.words(t)) for t in spoken]),
      'rewards/errors': judged.errors / len(texts),
      **judged.second, **(_by_rule(rows, texts) if general else {}),
      'rollout/slot_use': float(out.lengths_B.sum() / (len(texts) * max(out.lengths_B.max(), 1))),
  }


def _mean(values) -> float:
  """Mean of those that are no NaN; NaN of none (the same names on every host)."""
  values = np.asarray(values, np.float64)
  return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _all_correct_share(correct, advantages_NxG: np.ndarray) -> float:
  """Share of the sum of |A| that comes from groups in which every answer is right.

  With a continuous reward beside accuracy, answers that differ by a word get advantages as large as right against wrong
  (eq. 3 divides by the group's own deviation): this is how much of the gradient that is.
  """
  if correct is None:
    return 0.0
  all_right = np.all(correct.reshape(advantages_NxG.shape) == 1.0, axis=1)
  size = np.abs(advantages_NxG).sum(axis=1)
  return float(size[all_right].sum() / size.sum()) if size.sum() else 0.0


def _by_rule(rows: list[dict], texts: list[str]) -> dict[str, float]:
  """What the rules say of general answers whose reward a model gives: the hacking monitor's other half. Never trained on."""
  asked = [(row, text) for row, text in zip(rows, texts) if 'about' in row]
  return {'monitor/helpful_by_rule': _mean([scenario.score(t, r).value for r, t in asked if r['scenario'] != 'harm']),
          'monitor/harmless_by_rule': _mean([scenario.harmless(t, r).value for r, t in asked if r['scenario'] == 'harm'])}


def sample_rows(step: int, number: int, rows: list[dict], texts: list[str], out: Rollout, judged: Judged,
                advantages_NxG: np.ndarray, *, keep: int) -> list[dict]:
  """Rows for samples/: all completions of the first `keep` groups."""
  G, written = advantages_NxG.shape[1], []
  for i in range(min(keep, len(rows))):
    for g in range(G):
      b = i * G + g
      written.append({
          'step': step, 'rollout': number, 'group': i, 'sample': g, 'id': rows[i]['id'], 'prompt': rows[i]['question'],
          'gold': rows[i]['answer'], 'completion': texts[b], 'tokens': int(out.lengths_B[b]),
          'finish': 'stop' if out.stopped_B[b] else 'length',
          'rewards': {n: float(v[b]) for n, v in judged.by_name.items() if not np.isnan(v[b])},
          'reasons': {n: r[b] for n, r in judged.reasons.items() if r[b]}, 'reward': float(judged.total_B[b]),
          'advantage': float(advantages_NxG[i, g]),
          'correct': bool(judged.by_name['accuracy'][b] == 1.0) if 'accuracy' in judged.by_name else False})
  return written


def warn_if_rare(ema: float, number: int, samples: int) -> None:
  """Where the base almost never answers rightly, RL learns the format and then never reasons."""
  if number >= 20 and number % 10 == 0 and ema < 1 / samples:
    log.warning('accuracy has been about %.3f, under 1/%d, for long: groups carry no signal and only the format is '
                'learned; take easier problems or a stronger base', ema, samples)


WATCHED = (('reward/helpful', 'monitor/helpful_by_rule'), ('reward/harmless', 'monitor/harmless_by_rule'),
           ('reward/helpful', 'accuracy/mean'), ('reward/process', 'accuracy/mean'))


def watched(row: dict) -> dict[tuple[str, str], tuple[float, float]]:
  """(a reward model's score, what it stands for) -> both values, where a row of metrics.jsonl has both as numbers."""
  pairs = {names: tuple(row.get(name) for name in names) for names in WATCHED}
  return {names: values for names, values in pairs.items() if None not in values and np.isfinite(values).all()}


def first_watched(rows: list[dict]) -> dict[tuple[str, str], tuple[float, float]]:
  """Of each pair the values in the first of the rows that has both."""
  found = {}
  for row in rows:
    found = {**watched(row), **found}
  return found


def warn_if_hacked(first: dict, now: dict) -> None:
  """The hacking monitor: a reward model's score that rises while what it stands for falls (section 4.2, 2.2.2).

  Args:
    first, now: what `watched` says of the first rollout that had both, and of this one.
  """
  for names in first.keys() & now.keys():
    (score, stands_for), (score_now, stands_for_now) = first[names], now[names]
    if score_now - score > 0.1 and stands_for_now - stands_for < -0.05:
      log.warning('%s rose from %.3f to %.3f while %s fell from %.3f to %.3f: the policy may be gaming its reward model',
                  names[0], score, score_now, names[1], stands_for, stands_for_now)


def stop_if_unjudged(facts: dict[str, float], limit: float = 0.1) -> None:
  """Raises RunStopped when more than this share of completions have a verdict that is none (over all hosts)."""
  if facts['rewards/errors'] > limit:
    raise RunStopped(f'{facts["rewards/errors"]:.0%} of the completions have verdicts that are errors, the limit is {limit:.0%}: '
                     'log lines above say of what kind')


def stop_if_broken(means: list[dict], *, mismatch_limit: float, first: bool) -> None:
  """Raises RunStopped for NaN, and on the first rollout when trainer and sampler disagree."""
  for mean in means:
    if not np.isfinite(mean['loss'] + mean['grad_norm']):
      raise RunStopped(f'loss={mean["loss"]} and grad_norm={mean["grad_norm"]} are not finite: lower rl.learning_rate')
  gap = means[0]['mismatch/logp_max_abs']
  if first and gap > mismatch_limit:
    raise RunStopped(f"the trainer's log-probs differ from the sampler's by up to {gap:.4f} nats before the first "
                     f'update, the limit is rl.mismatch_limit={mismatch_limit}: they do not run the same model')
