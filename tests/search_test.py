"""Search by steps (section 4.2): labels, the tree by hand, a beam, what is left for actor and value."""

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.data import formats
from r1jax.exceptions import UserError
from r1jax.stages import process
from r1jax.stages import reward_model
from r1jax.stages import search
from r1jax.stages import tree
from r1jax.rewards import pool

M = formats.get('r1').mark


class Letters:
  """A tokenizer of single characters; '$' ends an answer."""
  vocab_size, eos_ids, pad_id = 128, (ord('$'),), 0

  def encode(self, text):
    return [ord(c) for c in text]

  encode_prompt = encode

  def decode(self, ids):
    return ''.join(chr(i) for i in ids if i not in self.eos_ids)


@pytest.mark.parametrize('text, right', [
    (' first 5 + 9 = 14,', True), (' then 14 - 7 = 8,', False), (' 5 + 9 = 14, check 5 + 9 = 15,', False),
    (' wait,', None), (' -4 - 1 = -5.', True), ('', None), (' 2 + 2 = 4 + 1', True),
])
def test_a_step_is_checked_by_its_own_arithmetic(text, right):
  assert process.right_step(text) is right


def test_steps_end_at_separators_and_at_the_end():
  assert reward_model.ends(Letters().encode('ab, c. de$'), Letters(), (',', '.')) == [2, 5, 9]
  assert reward_model.ends([], Letters(), (',',)) == []


@pytest.mark.parametrize('kind, right, labels', [('process', True, [True, False, True]),
                                                 ('process', False, [True, False, False]), ('value', True, [True] * 3),
                                                 ('value', False, [False] * 3)])
def test_labels_of_an_answer(kind, right, labels):
  c = ConfigDict(dict(kind=kind, separators=(',', '.')))
  row = process.labelled([1, 2], Letters().encode('1 + 1 = 2, 2 + 2 = 5. so 5$'), right, c, Letters())
  assert row['labels'] == labels and row['ends'] == [2 + 9, 2 + 20, 2 + 26]
  tokens, lengths, _, _, mask, wanted = process.encode([row], 32, 0)
  assert list(np.flatnonzero(mask[0])) == row['ends'] and list(wanted[0][row['ends']]) == [float(l) for l in labels]
  assert tokens[0, :2].tolist() == [1, 2] and lengths.tolist() == [2 + 27]
  _, lengths, _, _, mask, _ = process.encode([row], 12, 0)
  assert mask.sum() == 1 and lengths.tolist() == [12]  # what is cut is not learned


def test_uct_by_hand():
  root = tree.Node([])
  a, b = tree.Node([1], root), tree.Node([2], root)
  root.children = [a, b]
  tree.back_up(a, 0.9), tree.back_up(a, 0.7), tree.back_up(b, 0.2)
  assert (root.visits, root.total) == (3, pytest.approx(1.8))
  assert (a.mean(), b.mean()) == (pytest.approx(0.8), pytest.approx(0.2))
  assert tree.select(root, cap=2, explore=0.0) is a
  assert tree.select(root, cap=2, explore=50.0) is b  # tried less often
  assert tree.select(root, cap=3, explore=0.0) is root  # not full yet
  a.done = True
  assert tree.select(root, cap=2, explore=0.0) is a


def grow(good='g', bad='b', depth=3, width=3):
  """A world in which the right answer is 'ggg$': the value of a prefix is the share of its letters that are good."""
  calls = []

  def extend(asked, nodes):
    calls.append(len(nodes))
    found = []
    for node in nodes:
      children = [tree.Node(node.ids + [letter], node) for letter in (good, bad, 'x')[:width]]
      for child in children:
        child.done, child.value = len(child.ids) == depth, sum(i == good for i in child.ids) / len(child.ids)
      found.append(children)
    return found

  return extend, calls


def test_the_tree_finds_what_the_value_model_points_at():
  extend, calls = grow()
  roots = tree.mcts(extend, [[0], [0]], simulations=12, cap=3, explore=0.3)
  for root in roots:
    ended = [n for n in tree.nodes_of(root) if n.done]
    assert max(ended, key=lambda n: (n.mean(), n.visits)).ids == ['g', 'g', 'g']
    assert all(len(n.children) <= 3 for n in tree.nodes_of(root))
  assert max(calls) == 2  # both questions in one call of the sampler


def test_no_node_has_more_than_cap_children():
  extend, _ = grow()
  root, = tree.mcts(extend, [[0]], simulations=20, cap=2, explore=1.0)
  assert max(len(n.children) for n in tree.nodes_of(root)) == 2


def test_the_tree_goes_on_behind_a_step_that_has_no_other():
  extend, _ = grow(width=1)
  root, = tree.mcts(extend, [[0]], simulations=12, cap=3, explore=0.5)
  assert [n.ids for n in tree.nodes_of(root) if n.done] == [['g', 'g', 'g']]


def test_answers_to_one_question_are_all_learned_from_or_all_held_out():
  rows = [{'id': i % 20, 'n': i} for i in range(100)]
  learned, heldout = reward_model.by_question(rows, 10)
  assert len(heldout) == 10 and {r['id'] for r in heldout}.isdisjoint(r['id'] for r in learned)
  assert reward_model.by_question(rows[::-1], 10)[1] == heldout[::-1]


def test_a_beam_keeps_the_prefixes_whose_worst_step_is_best():
  extend, _ = grow()
  found, = tree.beam(extend, [[0]], keep=2)
  assert found[0].ids == ['g', 'g', 'g'] and len(found) == 2


def test_the_search_labels_prefixes_by_how_they_ended():
  row = {'task': 't', 'id': '1', 'question': 'q', 'answer': '5', 'answer_type': 'int', 'format': 'r1'}
  letters, root = Letters(), tree.Node([])
  step = tree.Node(letters.encode(f'{M} a,'), root)
  good, bad = (tree.Node(step.ids + letters.encode(f' b{M} \\boxed{{{x}}}$'), step, done=True) for x in '56')
  root.children, step.children = [step], [good, bad]
  with pool.Pool(workers=1) as judges:
    rows = search._outcomes(root, [7], row, letters, judges)
    found = [(letters.decode(bad.ids), 0.9, 9), (letters.decode(good.ids), 0.8, 9), (letters.decode(good.ids), 0.3, 9)]
    record = search._record(row, found, judges)
  assert [r['labels'] for r in rows] == [[0.5, 1.0], [0.5, 0.0]]
  assert rows[0]['ends'] == [len(step.ids), len(good.ids)] and rows[0]['ids'][0] == 7
  assert not record['chosen'] and record['voted']  # the best alone is wrong; 0.8 + 0.3 outvote 0.9
  assert [s['correct'] for s in record['samples']] == [False, True, True]


def test_mistakes():
  c = ConfigDict(dict(kind='guess'))
  with pytest.raises(UserError, match="kind='guess'"):
    search.check(ConfigDict(dict(x=c)), 'x')
  with pytest.raises(UserError, match="kind='guess'"):
    process.check(ConfigDict(dict(x=c)), 'x')
  with pytest.raises(UserError, match='samples=3 is not a multiple'):
    search.check(ConfigDict(dict(x=dict(kind='beam', samples=3, keep=2))), 'x')


def test_chance_among_different_answers_counts_each_once():
  """16 samples may be 2 texts: a model of steps that knows nothing then chooses between these."""
  sample = lambda text, right: {'text': text, 'correct': right, 'tokens': 3}
  record = lambda samples: {'task': 'x', 'samples': samples, 'chosen': samples[0]['correct'], 'voted': True, 'spent': 9}
  found = search._summary([record([sample('a', True)] * 14 + [sample('b', False), sample('c', False)]),
                           record([sample('a', True)] * 16)])
  assert found['mean'] == pytest.approx((14 / 16 + 1) / 2) and found['different'] == pytest.approx((1 / 3 + 1) / 2)
  assert set(search.FACTS) <= set(found)
