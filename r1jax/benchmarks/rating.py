"""Codeforces: from a place in the standings to a rating, and to a share of the people who took part.

A contestant's seed is the place that is expected of a rating r among rivals of ratings r_i: one more than how many are
expected to come before it, each with the probability that Elo's formula gives (Codeforces, "Open Codeforces Rating
System", 2015):

  seed(r) = 1 + sum_i 1 / (1 + 10^((r - r_i) / 400))

Places count from 1, so the rating that is expected of a place is the r with seed(r) = place. CodeElo (arXiv:2501.01257)
prints the same without the one, which takes the winner for the runner-up.
"""

import math
from collections.abc import Sequence

LOWEST, HIGHEST = 0.0, 4000.0  # the first place, and the last, are expected of no rating: limited to these


def seed(rating: float, rivals: Sequence[float]) -> float:
  """The place, from 1, that is expected of a rating among rivals of these."""
  return 1 + math.fsum(1 / (1 + 10 ** ((rating - other) / 400)) for other in rivals)


def of_place(place: float, rivals: Sequence[float]) -> float:
  """The rating of which a place (from 1 to n + 1, fractions allowed) is expected among n rivals, by halving.

  Raises:
    ValueError: no rivals, or a place that there is not.
  """
  if not rivals or not 1 <= place <= len(rivals) + 1:
    raise ValueError(f'{place=} among {len(rivals)} rivals: wants 1 to {len(rivals) + 1}')
  low, high = LOWEST, HIGHEST
  if seed(low, rivals) <= place:
    return low
  if seed(high, rivals) >= place:
    return high
  for _ in range(60):  # 4000 / 2^60: to the last bit of a float
    middle = (low + high) / 2
    if seed(middle, rivals) > place:  # a better place is wanted: a higher rating
      low = middle
    else:
      high = middle
  return (low + high) / 2


def place(points: float, others: Sequence[float]) -> float:
  """From 1: behind all who have more, in the middle of those who have as many, as a model has no time of its own."""
  return 1 + sum(other > points for other in others) + sum(other == points for other in others) / 2


def percentile(rating: float, ratings: Sequence[float]) -> float:
  """The share, 0..1, of ratings that are lower. ValueError for none."""
  if not ratings:
    raise ValueError('no ratings to compare with')
  return sum(other < rating for other in ratings) / len(ratings)
