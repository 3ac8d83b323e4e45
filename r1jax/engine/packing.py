"""Documents of any length -> rows [B, T] with segment ids and positions, nothing crossing a border; outputs of any
length -> micro-batches of few shapes."""

from typing import NamedTuple

import numpy as np

from r1jax.types import NOWHERE, UserError


class Packed(NamedTuple):
  """Rows that hold several documents each. Segment 0 and position NOWHERE are padding."""
  tokens_BxT: np.ndarray  # int32
  targets_BxT: np.ndarray  # int32, the next token of the same document
  mask_BxT: np.ndarray  # float32, 1 where the target is learned
  segment_ids_BxT: np.ndarray  # int32, 1, 2, ... within a row
  positions_BxT: np.ndarray  # int32, from 0 in each document


def pack(documents: list[tuple[list[int], list[int]]], *, length: int, open_rows: int = 32) -> Packed:
  """First-fit packing of documents that lie in memory.

  Args:
    documents: (prompt ids, completion ids); only completion tokens are learned.
    length: T of the rows; a document of n tokens takes n - 1 places (its last token is only a target).
    open_rows: how many unfinished rows are looked at.

  Raises:
    UserError: no documents, or one shorter than two tokens or longer than a row.
  """
  rows = first_fit([len(prompt) + len(completion) - 1 for prompt, completion in documents], length=length,
                   open_rows=open_rows)
  return fill(rows, [(list(prompt) + list(completion), len(prompt)) for prompt, completion in documents], length)


def first_fit(places, *, length: int, open_rows: int = 32) -> list[list[int]]:
  """The numbers of the documents of each row, in the order in which they lie there: packing that reads no token.

  Args:
    places: of each document, its tokens less one.
    length, open_rows: as of pack.

  Raises:
    UserError: as of pack.
  """
  places = np.asarray(places, np.int64).tolist()
  if not places:
    raise UserError('no documents to pack: the data set is empty')
  rows, free = [], []  # room left
  for i, n in enumerate(places):
    if n < 1:
      raise UserError(f'document {i} has {n + 1} tokens: it takes two to have something to predict')
    if n > length:
      raise UserError(f'document {i} has {n + 1} tokens, a row holds {length + 1}: raise the row length')
    for r in range(max(0, len(rows) - open_rows), len(rows)):
      if free[r] >= n:
        break
    else:
      r = len(rows)
      rows.append([])
      free.append(length)
    rows[r].append(i)
    free[r] -= n
  return rows


def of_batch(places: list[int], shapes_: dict[int, 'Shape']) -> list[list[int]]:
  """The numbers of the documents of each row, for a batch whose documents may lie in any row and any order: of one way
  for each length of micro-batches, that which computes the fewest positions.

  Args:
    places: of each document, its tokens less one; at most the longest of shapes_.
    shapes_: T -> shape of micro-batches.
  """
  order, ways = sorted(range(len(places)), key=lambda i: -places[i]), []
  for capacity in shapes_:
    rows, free, used = [], [], []
    for i in order:
      r = next((r for r, room in enumerate(free) if room >= places[i]), len(rows))
      if r == len(rows):
        rows.append([])
        used.append(0)
        free.append(max(capacity, min(T for T in shapes_ if T >= places[i])))
      rows[r].append(i)
      used[r] += places[i]
      free[r] -= places[i]
    ways.append((sum(shapes_[T].rows * T for T, _ in micro_batches(used, shapes_)), -capacity, rows))
  return min(ways)[2]


def fill(rows: list[list[int]], documents, length: int) -> Packed:
  """[len(rows), length] of the documents that are named.

  Args:
    rows: of each, the documents in it, as first_fit gives them.
    documents: by that name, (ids of prompt and completion, how many of them are the prompt's).
  """
  shape = (len(rows), length)
  out = Packed(np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32),
               np.zeros(shape, np.int32), np.full(shape, NOWHERE, np.int32))
  for r, members in enumerate(rows):
    at = 0
    for s, i in enumerate(members):
      ids, prompt = documents[i]
      ids = np.asarray(ids, np.int32)
      n = len(ids) - 1
      span = slice(at, at + n)
      out.tokens_BxT[r, span] = ids[:-1]
      out.targets_BxT[r, span] = ids[1:]
      out.mask_BxT[r, span] = np.arange(1, n + 1) >= max(prompt, 1)
      out.segment_ids_BxT[r, span] = s + 1
      out.positions_BxT[r, span] = np.arange(n)
      at += n
  return out


class Shape(NamedTuple):
  """Of a micro-batch."""
  rows: int
  length: int


def buckets(least: int, most: int, *, multiple: int, ratio: float = 2.0) -> tuple[int, ...]:
  """Sizes from `least` to `most`, each at most `ratio` times the one before, in multiples of `multiple`; ascending."""
  up = lambda n: -(-int(n) // multiple) * multiple
  sizes = {up(most)}
  while most > least:
    most = max(most / ratio, least)
    sizes.add(up(most))
  return tuple(sorted(sizes))


def shapes(longest: int, *, tokens: int, shards: int, multiple: int, most: int | None = None) -> dict[int, Shape]:
  """T -> the shape of micro-batches of rows of T tokens: as many rows as `tokens` allow, a multiple of `shards`.

  most: rows of a minibatch; a micro-batch of more would be padding.

  Raises:
    UserError: not one row a shard fits.
  """
  if tokens < longest * shards:
    raise UserError(f'micro_tokens={tokens} are fewer than one row of {longest} tokens on each of {shards} mesh shards '
                    f'(data x fsdp): at least {longest * shards}')
  long = longest >= 4096
  least, ratio = (longest // 64, 2.0) if long else (longest // 16, 1.3)
  sizes = [min(size, longest) for size in buckets(max(least, 2 * multiple), longest, multiple=multiple, ratio=ratio)]
  most = tokens if most is None else -(-most // shards) * shards
  # Of long outputs a minibatch has few micro-batches, and one of all the tokens would hold outputs of very different
  # lengths: by formula 0.41 / 0.69 / 0.80 of positions are real for 0.11 / 0.56 / 0.73 (32B, 512 outputs, mean 511 /
  # 4,803 / 10,423 tokens), which is worth gathering the weights four times as often.
  budget = lambda T: tokens if T == longest or not long else max(tokens // 4, T * shards)
  return {T: Shape(min(budget(T) // T // shards * shards, most), T) for T in sorted(set(sizes))}


def micro_batches(lengths, shapes_: dict[int, Shape]) -> list[tuple[int, list[int]]]:
  """(T, numbers of the outputs) of each micro-batch: outputs by length, the longest first, cut where a shape is full.

  Padding is then what outputs of about one length differ by. Each holds at most shapes_[T].rows outputs.
  """
  order, out, at = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)), [], 0
  while at < len(order):
    T = next(size for size in sorted(shapes_) if size >= lengths[order[at]])
    out.append((T, order[at:at + shapes_[T].rows]))
    at += shapes_[T].rows
  return out


def padded(arrays: list, shape: Shape, fill=0):
  """[rows, length] of arrays of any length, on the right; rows that are left over are all `fill`."""
  out = np.full(shape, fill, arrays[0].dtype if arrays else np.int32)
  for row, array in zip(out, arrays):
    row[:len(array)] = array
  return out
