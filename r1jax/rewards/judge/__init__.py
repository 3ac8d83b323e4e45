"""A generative judge: a model that sees question, gold answer and prediction, and says whether they agree (section
2.3.3); or that grades answers to a benchmark which no rule can grade (section 3).

Two answers are put to it in both orders, and both verdicts must say the same: judges lean to the answer they see first.
It runs behind any OpenAI-compatible endpoint, or is a function of this process. It judges data and evaluations, never a
step of RL.

  wording.py    what it is asked, and how its replies are read
  endpoint.py   prompts -> replies over the network: who is asked again, and when
  answers.py    replies on disk, and what they cost
  verdicts.py   Judge: many questions at once -> verdicts
  scores.py     verdicts -> the numbers of benchmarks
"""

import os

from r1jax.exceptions import UserError
from r1jax.rewards.judge import endpoint  # noqa: F401
from r1jax.rewards.judge import scores  # noqa: F401
from r1jax.rewards.judge import wording  # noqa: F401
from r1jax.rewards.judge.answers import Answers
from r1jax.rewards.judge.endpoint import KEY, Endpoint
from r1jax.rewards.judge.verdicts import KINDS, Graded, Judge, final, needed  # noqa: F401
from r1jax.rewards.judge.wording import BETTER, SAME, read  # noqa: F401

_CHOICES = ('', 'auto', 'endpoint', 'model')
# Keys that change no verdict: where the model runs, how it is asked, and what it may cost.
FREE = ('parallel', 'timeout', 'tries', 'max_calls', 'max_tokens_total', 'answers', 'slots')


def kind_of(config: dict) -> str:
  """'endpoint', 'model' or '', no judge; config.kind='auto' is what its url, or else its checkpoint, asks for.

  Raises:
    UserError: another kind, no URL for 'endpoint', no checkpoint for 'model', both for 'auto'.
  """
  kind, url, checkpoint = config['kind'], config.get('url', ''), config.get('checkpoint', '')
  if kind not in _CHOICES:
    raise UserError(f"judge.kind={kind!r} is not one of {', '.join(map(repr, _CHOICES))}")
  if kind == 'auto' and url and checkpoint:
    raise UserError(f'judge.url={url!r} and judge.checkpoint={checkpoint!r}: give one judge')
  if kind == 'auto':
    return 'endpoint' if url else 'model' if checkpoint else ''
  if kind == 'endpoint' and not url:
    raise UserError("judge.kind='endpoint' needs judge.url, for example http://localhost:8000/v1")
  if kind == 'model' and not checkpoint:
    raise UserError("judge.kind='model' needs judge.checkpoint, a directory with a model")
  return kind


def connect(config: dict, directory: str = '', stop=None) -> Endpoint:
  """The endpoint of a config; its key is in $R1JAX_JUDGE_KEY. directory, stop: as in `create`."""
  given = {key: config[key] for key in ('max_tokens', 'timeout', 'tries', 'parallel') if key in config}
  answers = Answers(config.get('answers') or directory, max_calls=config.get('max_calls', 0),
                    max_tokens=config.get('max_tokens_total', 0))
  return Endpoint(config['url'], config['model'], key=os.environ.get(KEY, ''), answers=answers, stop=stop, **given)


def create(config: dict, generate=None, *, directory: str = '', stop=None) -> Judge | None:
  """The judge that a config asks for; None for none. Its keys: experiments/common.py.

  Args:
    generate: prompts -> replies, for a checkpoint: what runs it in this process.
    directory: where an endpoint's answers are kept, unless config.answers names another; '': nowhere.
    stop: called now and then while an endpoint is waited for; it raises where the run is to end.

  Raises:
    UserError: a kind, an address, a model's name that is none.
  """
  kind = kind_of(config)
  if kind == 'endpoint':
    return Judge(together=connect(config, directory, stop))
  if kind == 'model' and generate:
    return Judge(together=generate)
  return None
