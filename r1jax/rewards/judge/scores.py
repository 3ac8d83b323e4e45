"""What a judge's verdicts add up to: the numbers of benchmarks that a model grades. All are shares, 0..1.

  factual             SimpleQA and Chinese SimpleQA: three grades
  length_controlled   AlpacaEval 2.0: the win rate as it would be at equal lengths
  arena               ArenaHard: the win rate against the baseline, with strong verdicts and a bootstrap
"""

from typing import NamedTuple

import numpy as np

from r1jax.rewards.judge.verdicts import WORTH, Graded

SEED = 0  # of the bootstrap
GRADES = ('CORRECT', 'INCORRECT', 'NOT_ATTEMPTED')
# The name of each kind's score, as section 3 has it.
METRICS = {'same': 'accuracy', 'correct': 'correct', 'true': 'accuracy', 'better': 'lc_winrate', 'grade': 'winrate'}


def factual(graded: list[Graded]) -> dict[str, float]:
  """correct, incorrect, not_attempted: shares of all whose verdict could be read; correct_given_attempted; f1, their
  harmonic mean with correct (SimpleQA, arXiv:2411.04368); errors: the share that could not be read.

  Raises:
    ValueError: no verdict at all.
  """
  verdicts = [each.verdicts[0] for each in graded if each.verdicts]
  if not verdicts:
    raise ValueError(f'{len(graded)} answers, none with a verdict')
  share = {name.lower(): verdicts.count(name) / len(verdicts) for name in GRADES}
  return {**share, **attempted(share), 'errors': 1 - len(verdicts) / len(graded)}


def attempted(share: dict[str, float]) -> dict[str, float]:
  """correct_given_attempted and f1 of the shares correct and incorrect."""
  tried = share['correct'] + share['incorrect']
  given = share['correct'] / tried if tried else 0.0
  both = given + share['correct']
  return {'correct_given_attempted': given, 'f1': 2 * given * share['correct'] / both if both else 0.0}


class LengthControlled(NamedTuple):
  """See length_controlled.

  winrate: as judged. lc_winrate: at equal lengths. interval: of lc_winrate, 95 %, by resampling questions.
  coefficients: theta, phi, psi of the model; phi is 0 where all differences of length are equal, psi without
  difficulties.
  """
  winrate: float
  lc_winrate: float
  interval: tuple[float, float]
  coefficients: tuple[float, float, float]


def length_controlled(preferences_N, lengths_N, baseline_lengths_N, difficulty_N=None, *, ridge: float = 1e-3,
                      resamples: int = 200, questions_N=None) -> LengthControlled:
  """AlpacaEval 2.0's length-controlled win rate (Dubois et al., arXiv:2404.04475).

  A logistic model of the preference, which may be any number from 0 to 1, for question n:

    logit p_n = theta + phi tanh(d_n / std(d)) + psi difficulty_n,  d_n = length_n - baseline_length_n

  fitted to the N questions, and then asked at d = 0: the mean of sigmoid(theta + psi difficulty_n). The published
  program has difficulties that were fitted to many models, two artificial baselines beside the data, and an L1 penalty
  chosen by cross-validation; here difficulties are the caller's, or none, and the penalty is small and quadratic.

  Args:
    lengths_N, baseline_lengths_N: in characters.
    ridge: weight of half the sum of squared coefficients beside the sum of N log-losses; without any, a model that wins
      all has no finite theta.
    questions_N: the number, from 0, of each one's question, where a question has several replies: the interval draws
      questions, with all that they have.

  Raises:
    ValueError: arrays of other lengths, none, or a preference outside 0..1.
  """
  y, own, other = (np.asarray(values, float) for values in (preferences_N, lengths_N, baseline_lengths_N))
  gamma = np.zeros(len(y)) if difficulty_N is None else np.asarray(difficulty_N, float)
  if not len(y) or not len(y) == len(own) == len(other) == len(gamma):
    raise ValueError(f'{len(y)} preferences, {len(own)} and {len(other)} lengths, {len(gamma)} difficulties')
  if not ((y >= 0) & (y <= 1)).all():
    raise ValueError('a preference lies outside 0..1')

  def at_equal_lengths(which) -> tuple[float, np.ndarray]:
    d, g = (own - other)[which], gamma[which]
    std = d.std(ddof=1) if len(d) > 1 else 0.0
    x = np.stack([np.ones(len(d)), np.tanh(d / std) if std > 0 else np.zeros(len(d)), g], axis=1)
    w = _logistic_fit(x, y[which], ridge)
    return float(_sigmoid(w[0] + w[2] * g).mean()), w

  rng = np.random.default_rng(SEED)
  lc, w = at_equal_lengths(np.arange(len(y)))
  of = [np.array([i]) for i in range(len(y))] if questions_N is None else [
      np.flatnonzero(np.asarray(questions_N) == q) for q in dict.fromkeys(questions_N)]
  draw = lambda: np.concatenate([of[i] for i in rng.integers(len(of), size=len(of))])
  again = [at_equal_lengths(draw())[0] for _ in range(resamples)]
  low, high = np.percentile(again, (2.5, 97.5)) if again else (np.nan, np.nan)
  return LengthControlled(float(y.mean()), lc, (float(low), float(high)), tuple(map(float, w)))


def _sigmoid(x):
  return np.exp(-np.logaddexp(0, -x))


def _logistic_fit(x_NxK, y_N, ridge: float) -> np.ndarray:
  """[K] coefficients with the least sum of log-losses + ridge / 2 |w|^2, by Newton's method; 0 of columns of zeros."""
  used = np.any(x_NxK != 0, axis=0)
  x, w = x_NxK[:, used], np.zeros(used.sum())
  loss = lambda w: float(np.sum(np.logaddexp(0, x @ w) - y_N * (x @ w)) + ridge / 2 * w @ w)
  for _ in range(200):
    p = _sigmoid(x @ w)
    gradient = x.T @ (p - y_N) + ridge * w
    hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w))
    step, size = np.linalg.lstsq(hessian, gradient, rcond=None)[0], 1.0
    while loss(w - size * step) > loss(w) + 1e-12 and size > 1e-6:
      size /= 2
    w = w - size * step
    if np.abs(size * step).max() < 1e-12:
      break
  out = np.zeros(x_NxK.shape[1])
  out[used] = w
  return out


def arena(games: list[tuple[str, ...]], *, strong: int = 3, resamples: int = 1000) -> dict:
  """ArenaHard's win rate against its baseline (Li et al., arXiv:2406.11939; 500 questions, a game in each order).

  A verdict of a game counts once, '>>' and '<<' count `strong` times, a tie is half a game won. This is what the
  Bradley-Terry model gives: every game is against the one baseline, so the likelihood of a model's rating is that of
  its own games alone, and greatest where the probability to win is the share that was won. `elo` is the same on Elo's
  scale, above the baseline's. The interval, 95 %, is by resampling questions, as the two games of one are no two draws;
  the published program resamples games.

  Args:
    games: of each question, the verdicts on the model against the baseline ('>>', '>', '=', '<', '<<'); () where none
      could be read.

  Returns:
    winrate, winrate_low, winrate_high, elo (None where all games are won or all lost), n_questions, errors: the share
    of questions without verdicts.

  Raises:
    ValueError: no verdict at all.
  """
  read = [of_question for of_question in games if of_question]
  if not read:
    raise ValueError(f'{len(games)} questions, none with a verdict')
  weight = lambda verdict: strong if len(verdict) == 2 else 1
  won_N = np.array([sum(weight(v) * WORTH[v] for v in of_question) for of_question in read], float)
  all_N = np.array([sum(map(weight, of_question)) for of_question in read], float)
  which = np.random.default_rng(SEED).integers(len(read), size=(resamples, len(read)))
  low, high = np.percentile(won_N[which].sum(axis=1) / all_N[which].sum(axis=1), (2.5, 97.5))
  rate = float(won_N.sum() / all_N.sum())
  return {'winrate': rate, 'winrate_low': float(low), 'winrate_high': float(high),
          'elo': float(400 * np.log10(rate / (1 - rate))) if 0 < rate < 1 else None,
          'n_questions': len(read), 'errors': 1 - len(read) / len(games)}


def of(rows: list[dict], texts: list[str], graded: list[Graded], final) -> dict:
  """The numbers that verdicts on texts, one row each and all of one kind, add up to, under the names of a benchmark's
  scores.json.

  Args:
    final: (text, row) -> what the judge saw of it, which is what length is counted of.
  """
  kind = rows[0].get('judge', 'same')
  if kind == 'correct':
    return factual(graded)
  if kind == 'grade':
    return arena([each.verdicts for each in graded])
  errors = float(np.mean([not each.verdicts for each in graded]))
  read = [i for i, each in enumerate(graded) if each.verdicts]
  if not read:
    raise ValueError(f'{len(graded)} answers, none with a verdict')
  if kind == 'better':
    difficulty = [rows[i]['difficulty'] for i in read] if all('difficulty' in row for row in rows) else None
    found = length_controlled([graded[i].value for i in read], [len(final(texts[i], rows[i])) for i in read],
                              [len(rows[i]['baseline']) for i in read], difficulty)
    return {'winrate': found.winrate, 'lc_winrate': found.lc_winrate, 'lc_winrate_low': found.interval[0],
            'lc_winrate_high': found.interval[1], 'errors': errors}
  return {'accuracy': float(np.mean([graded[i].value for i in read])), 'errors': errors}
