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
