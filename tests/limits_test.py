"""rl.max_tokens as a number and as a schedule."""

import sys

import pytest

from r1jax import limits
from r1jax import options
from r1jax import values
from r1jax.exceptions import UserError


@pytest.mark.parametrize('given, longest, at', [
    (64, 64, {0: 64, 10**6: 64}),
    (((0, 32768), (8200, 65536)), 65536, {0: 32768, 8199: 32768, 8200: 65536, 10400: 65536}),
    ([[0, 48], [4, 24], [6, 32]], 48, {0: 48, 3: 48, 4: 24, 5: 24, 6: 32}),
])
def test_what_a_schedule_says(given, longest, at):
  assert limits.longest(given) == longest
  assert {step: limits.at(given, step) for step in at} == at


WRONG = ['many', True, 1.5, (), ((1, 8),), ((0, 8), (0, 9)), ((0, 8), (5, 9), (3, 9)), ((0, 0),), ((0, 8, 1),),
         ((0, 8.5),), ((0, True),), (8, 9), None]


@pytest.mark.parametrize('given', WRONG)
def test_what_is_none_is_an_error_that_says_what_one_is(given):
  with pytest.raises(UserError, match=r'max_tokens=.*(\(\(0, TOKENS\)|begin with 0|at least 1 token)'):
    limits.schedule(given)


def parsed(*args):
  return options.parse([sys.argv[0], '--config=experiments/r1_zero.py:tiny', *args])


def test_the_command_line_takes_both():
  assert parsed('--config.rl.max_tokens=40').rl.max_tokens == 40
  config = parsed('--config.rl.max_tokens=((0, 24), (4, 48))')
  assert limits.schedule(config.rl.max_tokens) == ((0, 24), (4, 48))
  values.check(config)


@pytest.mark.parametrize('text', ['((1, 24),)', '(24,)', '[]', "'many'", '0'])
def test_the_command_line_refuses_what_is_none(text):
  with pytest.raises(UserError, match='rl.max_tokens'):
    parsed(f'--config.rl.max_tokens={text}')


@pytest.mark.parametrize('tokens, slots, entries, samplers', [
    (24, 8, [(0, 24, 8)], [(0, 24, 8)]),
    (24, 0, [(0, 24, 0)], [(0, 24, 0)]),  # 0: as many as are needed
    (((0, 24), (4, 48)), 8, [(0, 24, 8), (4, 48, 8)], [(0, 48, 8)]),  # one sampler does
    (((0, 24), (4, 48)), ((0, 8), (4, 4)), [(0, 24, 8), (4, 48, 4)], [(0, 24, 8), (4, 48, 4)]),
    (((0, 24), (4, 48), (9, 12)), ((0, 8), (2, 4)),  # the longest while it holds
     [(0, 24, 8), (2, 24, 4), (4, 48, 4), (9, 12, 4)], [(0, 24, 8), (2, 48, 4)]),
])
def test_slots_may_be_a_schedule_too(tokens, slots, entries, samplers):
  assert [tuple(x) for x in limits.entries(tokens, slots)] == entries
  assert [tuple(x) for x in limits.samplers(tokens, slots)] == samplers


@pytest.mark.parametrize('slots, said', [
    ('-1', 'slots'), ('((0, 8), (4, 0))', 'at least 1'), ('((2, 8),)', 'begin with 0'), ('many', 'slots')])
def test_slots_that_cannot_be_are_refused(slots, said):
  with pytest.raises(UserError, match=said):
    values.check(parsed(f'--config.rl.slots={slots}'))


def test_a_schedule_of_slots_is_for_rl_alone():
  config = parsed()
  with config.ignore_type():
    config.evaluate.slots = ((0, 8), (4, 4))
  with pytest.raises(UserError, match='evaluate.slots=.* a schedule is for RL alone'):
    values.check(config)
