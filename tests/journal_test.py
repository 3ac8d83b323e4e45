"""What rollouts said, on disk: the same when it is read again, and never taken when it is not."""

import numpy as np
import pytest

from r1jax.stages import journal
from r1jax.types import Completion, Request


EXPERTS = (2, 3), np.uint8


def drawn(seed, groups=5, given=3, samples=3, experts=False):
  """Requests whose samples have said anything: nothing at all, one token, many; experts: with the choices of some."""
  rng = np.random.default_rng(seed)

  def chosen(n):
    return rng.integers(0, 256, (n, *EXPERTS[0])).astype(EXPERTS[1]) if experts else None

  def completion():
    n = int(rng.choice([0, 1, 2, 40]))
    return Completion(rng.integers(0, 1 << 20, n).astype(np.int32), rng.normal(size=n).astype(np.float32),
                      bool(rng.integers(2)), chosen(n)) if n else None

  requests = [Request(10 * g + seed, rng.integers(0, 99, 1 + g).astype(np.int32),
                      tuple(range(g * samples, (g + 1) * samples)), tuple(completion() for _ in range(samples)))
              for g in range(groups)]
  if experts:  # the last one's prompt was not computed yet
    requests = [r._replace(choices=chosen(len(r.prompt))) for r in requests[:-1]] + requests[-1:]
  return journal.Said(requests[:given], requests[given:], 0.25 * seed, 7 + seed, given == groups)


def same(a, b):
  assert (a.slot_use, a.steps, a.whole) == (b.slot_use, b.steps, b.whole)
  for mine, theirs in ((a.given, b.given), (a.unfinished, b.unfinished)):
    assert [(r.group, r.samples) for r in mine] == [(r.group, r.samples) for r in theirs]
    for x, y in zip(mine, theirs):
      np.testing.assert_array_equal(x.prompt, y.prompt)
      np.testing.assert_equal(x.choices, y.choices)
      for c, d in zip(x.begun, y.begun):
        assert (c is None) == (d is None)
        if c is not None:
          assert c.tokens.dtype == d.tokens.dtype and c.logps.tobytes() == d.logps.tobytes() and c.stopped == d.stopped
          np.testing.assert_array_equal(c.tokens, d.tokens)
          np.testing.assert_equal(c.choices, d.choices)
          assert c.choices is None or c.choices.dtype == d.choices.dtype


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('given', [0, 3, 5])
def test_what_is_written_is_read_again(tmp_path, seed, given):
  said = drawn(seed, given=given)
  journal.Journal(str(tmp_path)).write(seed, said)
  again = journal.Journal(str(tmp_path))  # one that was opened before looks for nothing new
  same(said, again.read(seed, said.given + said.unfinished))
  assert again.read(seed + 1, []) is None


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('given', [0, 3])
def test_choices_of_experts_are_read_again(tmp_path, seed, given, caplog):
  """And what has none, or those of another model, is not taken where they are replayed."""
  said = drawn(seed, given=given, experts=True)
  kept = journal.Journal(str(tmp_path))
  kept.write(seed, said)
  kept.write(seed + 1, drawn(seed, given=given))
  again, asked = journal.Journal(str(tmp_path)), said.given + said.unfinished
  same(said, again.read(seed, asked, EXPERTS))
  assert again.read(seed, asked, ((2, 4), np.uint8)) is None
  assert again.read(seed + 1, asked, EXPERTS) is None
  assert caplog.text.count('the experts of its tokens are not in it') == 2


@pytest.mark.parametrize('seed', range(20))
def test_a_torn_or_changed_file_is_never_taken(tmp_path, seed, caplog):
  said, rng = drawn(seed % 4, groups=6, given=6), np.random.default_rng(seed)
  journal.Journal(str(tmp_path)).write(0, said)
  (path,) = (tmp_path / 'rollouts').glob('*.npz')
  data = bytearray(path.read_bytes())
  if seed % 2:
    data = data[:rng.integers(len(data))]
  else:
    at = data.index(b'tokens.npy') + 200 + rng.integers(40)  # in the middle of what was said
    data[at] ^= 1 << rng.integers(8)
  path.write_bytes(bytes(data))
  assert journal.Journal(str(tmp_path)).read(0, said.given) is None
  assert 'sampled again' in caplog.text


def test_another_rollouts_is_not_taken(tmp_path, caplog):
  said = drawn(1)
  journal.Journal(str(tmp_path)).write(3, said)
  asked = said.given + said.unfinished
  for other in (asked[1:], [asked[0]._replace(prompt=asked[0].prompt + 1), *asked[1:]],
                [asked[0]._replace(samples=(7, 8, 9)), *asked[1:]]):
    assert journal.Journal(str(tmp_path)).read(3, other) is None
  assert caplog.text.count('it asked other questions') == 3
  assert journal.Journal(str(tmp_path)).read(3, asked[::-1]) is not None  # the order is that of who asks


def test_what_no_restart_asks_for_goes(tmp_path):
  kept = journal.Journal(str(tmp_path))
  for number in range(5):
    kept.write(number, drawn(number))
  kept.forget(before=3)
  assert sorted(p.name for p in (tmp_path / 'rollouts').iterdir()) == ['00000003.npz', '00000004.npz']


def test_some_of_a_rollouts_groups_are_read_alone(tmp_path, caplog):
  """What was left over of a draw; all of them or none."""
  said = drawn(2, groups=5, given=4)
  written = journal.Journal(str(tmp_path))
  written.write(6, said)
  plain = [r._replace(begun=None) for r in (said.given[3], said.given[1])]
  found = written.groups(6, plain)
  same(said._replace(given=[said.given[3], said.given[1]], unfinished=[]), said._replace(given=found, unfinished=[]))
  assert written.groups(7, plain) is None and '2 groups that were left over' in caplog.text
  assert written.groups(6, [*plain, said.unfinished[0]]) is None  # it had not ended
