"""Which questions a rollout asks, and general questions from a user's file."""

import json

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.data import general
from r1jax.data import questions
from r1jax import rewards
from r1jax.data import tasks
from r1jax.exceptions import UserError


def test_every_question_is_asked_before_one_is_asked_again():
  order = questions.Order(12, 0, 4, seed=0)
  asked = np.concatenate([order(number, 0) for number in range(6)])
  assert sorted(asked[:12]) == sorted(asked[12:]) == list(range(12))
  assert list(order(3, 0)) == list(questions.Order(12, 0, 4, seed=0)(3, 9))  # nothing but its number decides


def test_general_questions_take_their_share_from_their_step_on():
  order = questions.Order(100, 6, 8, seed=1, share=0.5, first=10)
  assert (order(0, 9) < 100).all()
  found = [order(number, 10) for number in range(3)]
  assert [int((chosen >= 100).sum()) for chosen in found] == [4, 4, 4]
  assert sorted(np.concatenate(found)[np.concatenate(found) >= 100])[:12] == sorted(list(range(100, 106)) * 2)
  places = {tuple(np.flatnonzero(chosen >= 100)) for chosen in found}
  assert len(places) > 1  # not always the same groups


def of_file(tmp_path, lines, **task):
  path = tmp_path / 'prompts.jsonl'
  path.write_text('\n'.join(lines))
  return general.questions(ConfigDict({'source': f'jsonl:{path}', 'size': 0, **task}), seed=0, split='train', template='r1')


def test_a_file_needs_only_questions(tmp_path):
  lines = [json.dumps({'question': f'Write about {i}.', **({'scenario': 'harm'} if i % 3 == 0 else {})})
           for i in range(60)]
  rows = of_file(tmp_path, lines)
  assert 4 < len(rows) < 25 and {row['scenario'] for row in rows} == {'general', 'harm'}
  assert all(row['format'] == 'r1' and tasks.split_of(row['question']) == 'train' for row in rows)
  assert rewards.get('scenario').score('anything', rows[0]).value == 0.0  # no rule knows it
  assert len(of_file(tmp_path, lines, size=2)) == 2


@pytest.mark.parametrize('lines, task, said', [
    (['{"question": "a"}', '{"prompt": "b"}'], {}, ':2: no question'),
    (['{"question": "a"}'] * 2, {'size': 50}, '50 wanted'), ([], {}, 'is empty'),
])
def test_mistakes_are_named(tmp_path, lines, task, said):
  with pytest.raises(UserError, match=said):
    of_file(tmp_path, lines, **task)
  with pytest.raises(UserError, match="no general questions in 'champ'"):
    general.questions(ConfigDict(dict(source='champ', size=0)), seed=0, split='train', template='r1')
