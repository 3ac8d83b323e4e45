"""How good a model of steps is on steps that it has not learned from. Numbers only, no device.

A model that calls every step right is right as often as steps are, so accuracy says little; the AUC does not depend on
how common wrong steps are.
"""

import numpy as np
from scipy import optimize


def auc(scores_N, right_N) -> float | None:
  """The chance that a right step scores higher than a wrong one, ties half: the area under the ROC curve, by ranks
  (Mann and Whitney 1947). None where one of the two kinds is missing."""
  scores_N, right_N = np.asarray(scores_N, np.float64), np.asarray(right_N, bool)
  right = int(right_N.sum())
  wrong = len(right_N) - right
  if not right or not wrong:
    return None
  _, place_N, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
  last = np.cumsum(counts)
  ranks_N = (last - (counts - 1) / 2)[place_N]  # equal scores share the mean of their ranks
  return float((ranks_N[right_N].sum() - right * (right + 1) / 2) / (right * wrong))


def calibration(scores_N, labels_N, bins: int = 10) -> float:
  """Expected calibration error: over `bins` equal parts of 0..1 the distance of the mean score from the mean label,
  weighed by how many scores lie there (Guo et al. 2017, eq. 3). Labels may be shares."""
  scores_N, labels_N = np.asarray(scores_N, np.float64), np.asarray(labels_N, np.float64)
  where_N = np.minimum((scores_N * bins).astype(int), bins - 1)
  apart = np.bincount(where_N, scores_N - labels_N, minlength=bins)  # of each part the sum
  return float(np.abs(apart).sum() / len(scores_N))


def of_steps(scores_N, labels_N, rule_N=None) -> dict:
  """What is said of a model of steps: scores and labels in 0..1, a label over 0.5 is a right step.

  Args:
    rule_N: whether a step's own arithmetic holds, None where nothing can be said of it.

  Returns:
    auc, ece (calibration), brier, accuracy, accuracy_of_right, accuracy_of_wrong, right_share; of steps that the rule
    knows also auc_by_rule and labels_by_rule, the AUC of the labels themselves. None where a kind is missing.
  """
  scores_N, labels_N = np.asarray(scores_N, np.float64), np.asarray(labels_N, np.float64)
  right_N, said_N = labels_N > 0.5, scores_N > 0.5
  share = lambda where: float((said_N == right_N)[where].mean()) if where.any() else None
  known = [i for i, rule in enumerate(rule_N or ()) if rule is not None]
  rule = [rule_N[i] for i in known]
  return {'auc': auc(scores_N, right_N), 'ece': calibration(scores_N, labels_N),
          'brier': float(np.mean((scores_N - labels_N)**2)), 'accuracy': float((said_N == right_N).mean()),
          'accuracy_of_right': share(right_N), 'accuracy_of_wrong': share(~right_N),
          'right_share': float(right_N.mean()), 'heldout_steps': len(labels_N),
          'auc_by_rule': auc(scores_N[known], rule) if known else None,
          'labels_by_rule': auc(labels_N[known], rule) if known else None}


def platt(log_odds_N, labels_N) -> tuple[float, float]:
  """(slope, shift): slope * log_odds + shift has the least log-loss (Platt 1999, section 2.2, with his targets, so that
  what is told apart without an error stays finite). (1, 0) where labels are all right, or all wrong.

  In the loss there are as many wrong steps as right ones, and in steps.jsonl there are not; and an implicit reward has
  no constant of its own: a right answer can gain little, a wrong one lose much.
  """
  odds_N, labels_N = np.asarray(log_odds_N, np.float64), np.asarray(labels_N, np.float64)
  right, wrong = labels_N.sum(), (1 - labels_N).sum()
  if not right or not wrong:
    return 1.0, 0.0
  target_N = labels_N * (right + 1) / (right + 2) + (1 - labels_N) / (wrong + 2)
  spread = odds_N.std()  # searched in its units, whatever they are; of equal odds it is no more than rounding
  unit = spread if spread > 1e-9 * np.abs(odds_N).max() else 1.0

  def loss(at):
    said_N = at[0] * odds_N / unit + at[1]
    off_N = np.exp(-np.logaddexp(0, -said_N)) - target_N
    return np.mean(np.logaddexp(0, said_N) - target_N * said_N), np.array([np.mean(off_N * odds_N / unit),
                                                                           np.mean(off_N)])

  found = optimize.minimize(loss, [1.0, 0.0], jac=True, method='L-BFGS-B', bounds=[(1e-3, None), (None, None)],
                            options={'ftol': 1e-14, 'gtol': 1e-10})
  return float(found.x[0] / unit), float(found.x[1])
