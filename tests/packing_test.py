"""r1jax.engine.packing: every document once, nothing across a border, and the loss of rows is that of documents; every
output once in micro-batches of few shapes."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import losses
from r1jax.engine import packing
from r1jax.types import NOWHERE, UserError

LENGTH = 12
USE = 0.79  # of positions, in test_few_positions_are_padding: what the sizes of packing.shapes reach, 1.3 times apart
token = st.integers(1, 9)
document = st.tuples(st.lists(token, max_size=6), st.lists(token, min_size=1, max_size=7)).filter(
    lambda d: len(d[0]) + len(d[1]) >= 2)


def unpacked(packed):
  """(ids, mask) of each segment of each row."""
  for row in zip(*packed):
    tokens, targets, mask, segments, positions = row
    for s in range(1, segments.max() + 1):
      here = segments == s
      np.testing.assert_array_equal(positions[here], np.arange(here.sum()))
      np.testing.assert_array_equal(np.flatnonzero(here), np.flatnonzero(here)[0] + np.arange(here.sum()))
      np.testing.assert_array_equal(tokens[here][1:], targets[here][:-1])
      yield (tokens[here].tolist() + targets[here][-1:].tolist(), mask[here].tolist())
    empty = segments == 0
    assert (positions[empty] == NOWHERE).all() and (mask[empty] == 0).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(document, min_size=1, max_size=40), st.integers(1, 32))
def test_every_document_is_there_once(documents, open_rows):
  packed = packing.pack(documents, length=LENGTH, open_rows=open_rows)
  want = [(p + c, [float(i >= max(len(p), 1)) for i in range(1, len(p) + len(c))]) for p, c in documents]
  assert sorted(unpacked(packed)) == sorted(want)
  assert all(a.shape == packed.tokens_BxT.shape == (len(packed.tokens_BxT), LENGTH) for a in packed)


def test_rows_by_hand():
  packed = packing.pack([([1, 2], [3, 4]), ([], [5, 6]), ([7], [8] * 5)], length=5)
  np.testing.assert_array_equal(packed.tokens_BxT, [[1, 2, 3, 5, 0], [7, 8, 8, 8, 8]])
  np.testing.assert_array_equal(packed.targets_BxT, [[2, 3, 4, 6, 0], [8, 8, 8, 8, 8]])
  np.testing.assert_array_equal(packed.mask_BxT, [[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
  np.testing.assert_array_equal(packed.segment_ids_BxT, [[1, 1, 1, 2, 0], [1, 1, 1, 1, 1]])
  np.testing.assert_array_equal(packed.positions_BxT, [[0, 1, 2, 0, NOWHERE], [0, 1, 2, 3, 4]])


def test_a_document_that_fits_just_and_one_that_does_not():
  assert packing.pack([([1] * 3, [2] * 3)], length=5).mask_BxT.sum() == 3
  with pytest.raises(UserError, match='document 1 has 6 tokens, a row holds 5'):
    packing.pack([([1], [2]), ([1] * 3, [2] * 3)], length=4)


def test_nothing_to_pack():
  with pytest.raises(UserError, match='data set is empty'):
    packing.pack([], length=4)


def ragged(seed=0):
  """Documents of 2 to 11 tokens, no token in two of them."""
  rng = np.random.default_rng(seed)
  ids = rng.permutation(512).tolist()
  take = lambda n: [ids.pop() for _ in range(n)]
  return [(take(p), take(c)) for p, c in [(3, 4), (0, 5), (2, 1), (5, 6), (1, 3), (4, 2), (0, 9)]]


def test_no_leak_between_documents(nano):
  """The gradient of one document's hidden states with regard to the embeddings of its neighbours is exactly zero."""
  model, params = nano
  documents = ragged()
  packed = packing.pack(documents[:4], length=24)
  row = int(np.argmax(packed.segment_ids_BxT.max(axis=1)))
  tokens, segments = packed.tokens_BxT[row], packed.segment_ids_BxT[row]
  assert segments.max() >= 3 and (segments == 0).any()

  @jax.jit
  def gradient(one_T):
    def f(embedding):
      hidden, _ = model.apply({'params': {**params, 'embedding': embedding}}, packed.tokens_BxT[row:row + 1],
                              packed.positions_BxT[row:row + 1], packed.segment_ids_BxT[row:row + 1], method='hidden')
      return jnp.sum(jnp.sin(hidden[0]) * one_T[:, None])
    return jnp.abs(jax.grad(f)(params['embedding'])).sum(axis=1)

  for s in range(1, segments.max() + 1):
    here = segments == s
    size = np.asarray(gradient(here.astype(np.float32)))
    assert (size[tokens[here]] > 0).all()
    others = np.setdiff1d(np.arange(512), tokens[here])
    assert (size[others] == 0).all(), f'document {s} sees its neighbours'


def test_packed_loss_is_the_unpacked_loss(nano):
  """Packed rows through token_logps against each document alone through the plain forward."""
  model, params = nano
  documents = ragged()
  packed = packing.pack(documents, length=20)
  assert len(packed.tokens_BxT) < len(documents)

  @jax.jit
  def loss(batch, params):
    weights = {'params': params}
    hidden, _ = model.apply(weights, batch.tokens_BxT, batch.positions_BxT, batch.segment_ids_BxT, method='hidden')
    logps, _ = losses.token_logps(lambda h: model.apply(weights, h, method='unembed'), hidden, batch.targets_BxT)
    return losses.cross_entropy(logps, batch.mask_BxT)[:2]

  alone = np.zeros((len(documents), 11), np.int32)
  for row, (prompt, completion) in zip(alone, documents):
    row[:len(prompt + completion)] = prompt + completion
  logps = np.asarray(jax.nn.log_softmax(jax.jit(model.apply)({'params': params}, alone)))
  want = [-logps[i, t - 1, alone[i, t]] for i, (prompt, completion) in enumerate(documents)
          for t in range(max(len(prompt), 1), len(prompt + completion))]
  np.testing.assert_allclose(loss(packed, params), [sum(want), len(want)], rtol=1e-5)


@pytest.mark.parametrize('document', [([], []), ([], [5]), ([5], [])])
def test_a_document_with_nothing_to_predict_is_refused(document):
  with pytest.raises(UserError, match='it takes two'):
    packing.pack([([1, 2], [3]), document], length=8)


# --- outputs of any length -> micro-batches


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_output_is_in_one_micro_batch_that_holds_it(data):
  """And no micro-batch holds more than its shape, no shape more tokens than the budget, or rows that nobody needs."""
  draw = lambda *bounds: data.draw(st.integers(*bounds))
  longest = data.draw(st.integers(1, 300) | st.integers(4096, 9000))
  shards, multiple = draw(1, 8), data.draw(st.sampled_from([1, 8, 128]))
  lengths = data.draw(st.lists(st.integers(0, longest), max_size=80))
  tokens, most = longest * shards + draw(0, 4000), data.draw(st.none() | st.just(max(len(lengths), 1)))
  shapes = packing.shapes(longest, tokens=tokens, shards=shards, multiple=multiple, most=most)
  assert max(shapes) == longest and list(shapes) == sorted(shapes)
  for T, shape in shapes.items():
    assert shape.length == T and shape.rows > 0 and shape.rows % shards == 0 and shape.rows * T <= tokens
    assert most is None or shape.rows < most + shards
  for short, long in zip(shapes, [*shapes][1:]):
    assert long <= (1.3 if longest < 4096 else 2) * (short + multiple)  # the smallest that fits is not much too large
  cut = packing.micro_batches(lengths, shapes)
  assert sorted(unit for _, units in cut for unit in units) == list(range(len(lengths)))
  for T, units in cut:
    assert 0 < len(units) <= shapes[T].rows
    assert T == min(size for size in shapes if size >= max(lengths[unit] for unit in units))


def test_sizes_by_hand():
  assert packing.buckets(100, 1000, multiple=128) == (128, 256, 512, 1024)
  assert packing.buckets(8, 8, multiple=8) == (8,) and packing.buckets(8, 7, multiple=8) == (8,)
  assert packing.shapes(100, tokens=1000, shards=2, multiple=40) == {80: (12, 80), 100: (10, 100)}
  assert packing.shapes(100, tokens=1000, shards=2, multiple=40, most=5) == {80: (6, 80), 100: (6, 100)}
  assert packing.shapes(7, tokens=7, shards=1, multiple=8) == {7: (1, 7)}
  with pytest.raises(UserError, match='=199 are fewer than one row of 100 tokens on each of 2 .*: at least 200'):
    packing.shapes(100, tokens=199, shards=2, multiple=64)


def test_long_outputs_get_micro_batches_of_a_quarter_of_the_tokens():
  """But for the longest, which need not have a row on each device otherwise."""
  shapes = packing.shapes(8192, tokens=2 * 8192, shards=2, multiple=128)
  assert {T: rows for T, (rows, _) in shapes.items()} == {
      256: 16, 512: 8, 1024: 4, 2048: 2, 4096: 2, 8192: 2}


def test_micro_batches_by_hand():
  """The longest first; of the same length, in order; a shape that is full is cut there."""
  shapes = {4: packing.Shape(3, 4), 8: packing.Shape(2, 8)}
  assert packing.micro_batches([1, 8, 3, 5, 3, 3, 4], shapes) == [(8, [1, 3]), (4, [6, 2, 4]), (4, [5, 0])]
  assert packing.micro_batches([], shapes) == []


def test_rows_that_are_left_over_are_fill():
  got = packing.padded([np.array([1, 2], np.int32), np.zeros(0, np.int32)], packing.Shape(3, 3), 7)
  np.testing.assert_array_equal(got, [[1, 2, 7], [7, 7, 7], [7, 7, 7]])
  assert got.dtype == np.int32 and packing.padded([], packing.Shape(2, 1)).shape == (2, 1)


def test_few_positions_are_padding():
  """Of W3's outputs (experiments/bench.py): 512, log-normal, mean 64, cap 256, in micro-batches of 2,048 tokens; padded
  to the cap a quarter of the positions would be used."""
  use = []
  for seed in range(5):
    lengths = np.random.default_rng(seed).lognormal(np.log(64) - 0.8**2 / 2, 0.8, 512).round().clip(1, 256).astype(int)
    shapes = packing.shapes(256, tokens=2048, shards=1, multiple=8, most=512)
    computed = sum(shapes[T].rows * T for T, _ in packing.micro_batches(lengths, shapes))
    use.append(lengths.sum() / computed)
  assert np.mean(use) > USE and min(use) > USE - 0.03, use
