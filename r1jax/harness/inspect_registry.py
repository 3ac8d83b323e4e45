"""What inspect_ai finds of r1jax, by setup.py's entry point: a provider, a reducer, a scorer, two tasks.

  inspect eval r1jax/questions -T source=jsonl:FILE --model r1jax/DIR --epochs 64 --epochs-reducer mean,cons
  inspect eval r1jax/local -T task=drop -T data=EleutherAI/drop=DIR --model r1jax/DIR

jax is imported by what is used alone: inspect loads this for every model.
"""

import threading

import anyio.to_thread
from inspect_ai import Task, task
from inspect_ai._util import package  # what names it makes has no public name
from inspect_ai.dataset import Sample
from inspect_ai.model import ContentReasoning, ModelAPI, ModelOutput, modelapi
from inspect_ai.scorer import (Score, Scorer, ScoreReducer, Target, accuracy, score_reducer, scorer, stderr,
                               value_to_float)
from inspect_ai.solver import TaskState, generate

_judges = threading.Lock()  # one answer at a time is judged: pool.shared() has one worker


def _named(name: str) -> str:
  """As it is registered, so that it is 'r1jax/NAME' to users: inspect puts the package in front where it is installed,
  not where a path alone leads to it."""
  return name if package.get_installed_package_name(_named) else f'r1jax/{name}'


@modelapi(name='r1jax')
def r1jax() -> type[ModelAPI]:
  """The provider."""
  from r1jax.harness import inspect_provider
  return inspect_provider.R1JaxAPI


# --- a vote


@score_reducer(name='r1jax/cons')
def cons(k: int = 0) -> ScoreReducer:
  """Whether the answer that most epochs agree on is right; cons_K: the mean over the n // K disjoint blocks of K.

  Answers agree as r1jax.evaluate.majority counts them: right ones do, wrong ones where the grader says that they are
  equal, or their texts are. Wants scores with an answer; an epoch without one does not vote.
  """
  from r1jax import rewards
  from r1jax.stages import scoring
  as_float = value_to_float()

  def one(scores: list[Score]) -> float:
    known = next((s.metadata for s in scores if s.metadata and 'answer_type' in s.metadata), {})
    votes = [{'answer': s.answer, 'correct': as_float(s.value) == 1.0} for s in scores]
    if hasattr(rewards.get(known.get('reward', 'math')), 'equivalent') and 'answer_type' in known:
      return float(scoring.voted_right(votes, known))
    winner = scoring.majority([v if v['answer'] is not None else None for v in votes], lambda a, b: (
        a['correct'] and b['correct'] if a['correct'] or b['correct'] else a['answer'] == b['answer']))
    return float(winner is not None and winner['correct'])

  def reduce(scores: list[Score]) -> Score:
    size = min(k or len(scores), len(scores))
    blocks = [scores[i * size:(i + 1) * size] for i in range(len(scores) // size)]
    found = [one(block) for block in blocks]
    return Score(value=sum(found) / len(found), answer=scores[0].answer, explanation=f'{len(found)} votes of {size}')

  return reduce


# --- our grader


@scorer(metrics=[accuracy(), stderr()], name=_named('math'))
def math(reward: str = 'math', answer_type: str = 'auto') -> Scorer:
  """r1jax's grader of maths: the last box or <answer> behind the reasoning, equal to the target by rule.

  A sample's metadata may have 'row', as r1jax's own tasks give it; else the target is the answer.

  Args:
    reward: another of r1jax.rewards that looks for an answer.
    answer_type: 'auto', 'int', 'rational', 'choice', 'expr' ...
  """
  async def score(state: TaskState, target: Target) -> Score:
    row = {**(state.metadata.get('row') or {'answer': target.text, 'answer_type': answer_type}), 'format': 'r1_zero'}
    return await anyio.to_thread.run_sync(_judged, row.get('reward', reward), completion(state.output), row)

  return score


def _judged(reward: str, text: str, row: dict) -> Score:
  from r1jax import rewards
  from r1jax import scoring
  from r1jax.data import columns
  if row.get('answer_type', 'auto') == 'auto':
    row = {**columns.normal({'question': '?', **row}), 'format': row['format']}
  with _judges:
    found = scoring.score(reward, text, row)
  grader = rewards.get(reward)
  answer = grader.extract(text, row) if hasattr(grader, 'extract') else None
  return Score(value=found.value, explanation=found.reason,
               answer=None if answer is None else grader.normalise(answer, row['answer_type']),
               metadata={'reward': reward, 'answer_type': row['answer_type']})


def completion(output: ModelOutput) -> str:
  """A call's first answer as it was said, in table 1's tags where its reasoning is apart."""
  if not output.choices:
    return ''
  content = output.choices[0].message.content
  reasoning = [] if isinstance(content, str) else [part.reasoning for part in content
                                                   if isinstance(part, ContentReasoning)]
  return (f"<think>{''.join(reasoning)}</think>" if reasoning else '') + output.choices[0].message.text


# --- tasks


@task(name=_named('questions'))
def questions(source: str, reward: str = 'math', limit: int = 0) -> Task:
  """Questions as `r1jax evaluate --tasks` takes them, asked as they stand and graded by r1jax's grader.

  Args:
    source: 'jsonl:FILE', 'hf:OWNER/NAME', 'chain_sum' ...
    limit: the first so many; 0: all.
  """
  from r1jax.data import tasks
  rows, _ = tasks.named(source)
  samples = [Sample(id=str(row['id']), input=row['question'], target=str(row['answer']), metadata={'row': row})
             for row in rows[:limit or None]]
  return Task(name=tasks.name_of(source), dataset=samples, solver=generate(), scorer=math(reward=reward))


@task(name=_named('local'))
def local(task: str, data: str, **arguments) -> Task:  # pylint: disable=redefined-outer-name  as -T names it
  """A task of inspect_evals, prompts, shots and scorer its own, with questions from files of one's own.

  Args:
    task: its name in inspect_evals: 'gsm8k', 'mmlu_pro', 'drop' ...
    data: HUB_ID=DIR[,HUB_ID=DIR] (local_data.py).
    arguments: the task's own.
  """
  from r1jax.exceptions import UserError
  from r1jax.harness import inspect_provider
  from r1jax.harness import local_data
  with inspect_provider.one_line():
    try:
      from inspect_evals import _registry
    except ImportError as e:
      raise UserError(f"inspect_evals is not installed ({e}): pip install 'r1jax[eval]'") from e
    if not hasattr(_registry, task):
      raise UserError(f'inspect_evals has no task {task!r}')
    with local_data.instead(local_data.pairs(data, '-T data')):
      return getattr(_registry, task)(**arguments)
