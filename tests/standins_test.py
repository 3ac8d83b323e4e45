"""Benchmarks that lm-eval and inspect_ai run: their own tasks on our stand-ins, by the very command of the table, with a
model whose answers are known, and so its score; what `r1jax tables` then shows. (benchmarks_test.py and judged_test.py
have those that r1jax runs itself.)"""

import json
import os
import shlex
import string
import threading

import numpy as np
import pytest

from r1jax.benchmarks.table import TABLE
from r1jax.data import benchmarks as data
from r1jax.harness import asking
from r1jax.harness import likelihood
from r1jax.report import tables

import first_requests_test

os.environ.setdefault('HF_HUB_OFFLINE', '1')  # read as the package is imported: nothing is looked for over a network
pytestmark = pytest.mark.usefixtures('one_device')

BY_LM_EVAL = [name for name, row in TABLE.items() if row.runs == 'lm-eval']
ANSWERED = ('mmlu_redux', 'mmlu_pro', 'if_eval')  # the others compare the likelihoods of letters
# Of what is made of many subjects, two, so that the tests are quick; the whole of it is `slow`.
PARTS = {'mmlu_redux': 'mmlu_redux_anatomy_generative,mmlu_redux_virology_generative',
         'mmlu_pro': 'mmlu_pro_biology,mmlu_pro_law', 'if_eval': 'ifeval',
         'c_eval': 'ceval-valid_marxism,ceval-valid_law', 'cmmlu': 'cmmlu_anatomy,cmmlu_logical'}
SPLITS = {'mmlu': 'test', 'mmlu_redux': 'test', 'mmlu_pro': 'test', 'if_eval': 'train', 'c_eval': 'val', 'cmmlu': 'test'}
HUB = {'mmlu_redux': 'fxmarty/mmlu-redux-2.0-ok'}  # where lm-eval reads it; elsewhere as the table says
# What obeys the instructions of IF-Eval's stand-in, in its order.
OBEYS = ('A heron', 'GOOD MORNING TO ALL OF YOU WHO HAVE COME HERE TODAY', 'A heron stands in it.', 'It is long and loud.', 'Well then. That is all.',
         '"Who waits is late."', '<<Rain>>\nIt falls.', '* a pan\n* a knife',
         'Bread is made of flour and water and salt and a long time of waiting.', 'it is white and cold',
         '{"colour": "red"}')


def hub(name: str) -> str:
  return HUB.get(name) or TABLE[name].source.removeprefix('hf:').partition('@')[0]


def rows_of(name: str) -> list[dict]:
  with open(os.path.join(data._STANDINS, name, f'{SPLITS[name]}.jsonl'), encoding='utf-8') as f:
    return [json.loads(line) for line in f]


def question(row: dict) -> str:
  return row.get('prompt') or row.get('question') or row['Question']


def letter(row: dict) -> str:
  right = row.get('answer', row.get('Answer'))
  return right if isinstance(right, str) else 'ABCD'[right]


def right(number: int) -> bool:
  """What is planted: five of seven questions."""
  return number % 7 not in (2, 5)


def said(name: str, number: int, row: dict) -> str:
  """An answer whose reasoning holds what a grader looks for, and what would end it, but wrong."""
  if name == 'if_eval':
    return f'<think>So,\n{question(row)}</think>\n\n{OBEYS[number] if right(number) else "car, Car"}'
  wrong = next(each for each in 'ABCD' if each != letter(row))
  given, other = (letter(row), wrong) if right(number) else (wrong, letter(row))
  forms = {'mmlu_redux': given, 'mmlu_pro': f'It adds up, so the answer is ({given}).', 'mmlu': f'It is so.\nANSWER: {given}'}
  return f'<think>The answer is ({other}).\nQuestion: is it?\nANSWER: {other}</think>\n\n{forms[name]}'


class Scripted:
  """In place of a model that is asked, and of one whose likelihoods are wanted; all round it is as it ever is."""

  def __init__(self, name: str, tokenizer):
    self.rows, self.name, self.tokenizer, self.asked = list(enumerate(rows_of(name))), name, tokenizer, []

  def _find(self, text: str) -> tuple[int, dict]:
    """The question that stands last: examples come before it."""
    return max(self.rows, key=lambda each: text.rfind(question(each[1])))

  def __call__(self, asks):
    for i, ask in enumerate(asks):
      if isinstance(ask, asking.Ask):
        self.asked.append(ask)
        text = said(self.name, *self._find(self.tokenizer.decode(list(ask.prompt))))
        yield i, [asking.Said(asking.until(text, ask.stop), np.zeros(5, np.int32), 'stop', None, None, None)]
      else:
        yield self._likely(*ask)

  def _likely(self, before, answer) -> likelihood.Likely:
    number, row = self._find(self.tokenizer.decode(list(before)))
    chosen = letter(row) if right(number) else next(each for each in 'ABCD' if each != letter(row))
    likely = self.tokenizer.decode(list(answer)).strip()[-1:] == chosen
    return likelihood.Likely(np.full(len(answer), -1.0 if likely else -9.0, np.float32), np.full(len(answer), likely))


@pytest.fixture(scope='module', name='place')
def _place(tmp_path_factory, one_device):
  """A checkpoint with room for 32,768 tokens of an answer, its weights random: they are never asked."""
  import jax
  from r1jax.data import prompts
  from r1jax.data import tokenizer as tokenizer_lib
  from r1jax.engine import checkpoint
  from r1jax.engine import mesh as mesh_lib
  from r1jax.engine import params as params_lib
  from r1jax.models import zoo
  from r1jax.stages import common
  place = tmp_path_factory.mktemp('standins')
  texts = [question(row) for name in SPLITS for row in rows_of(name)]  # by which the script knows them again
  tokenizer = tokenizer_lib.train([*texts, string.printable.strip()], str(place / 'tok'), vocab_size=640, pieces=[])
  model = zoo.build(zoo.get('nano', vocab_size=tokenizer.vocab_size, max_length=65536))
  common.save_model(str(place / 'model'), model, tokenizer, prompt=prompts.record('deepseek_r1', prefill=''))
  checkpoint.save_params(str(place / 'model'), jax.tree.map(np.asarray, mesh_lib.unbox(params_lib.init(model, 0))), {})
  return str(place / 'model')


def lm_eval_says(name: str, tasks: str, place: str, workdir, monkeypatch) -> tuple[dict, Scripted]:
  """lm-eval's results of the table's command with other tasks, on the stand-in."""
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: r1jax[lm-eval]')
  if name == 'if_eval':
    pytest.importorskip('lm_eval.tasks.ifeval.utils', reason='lm-eval[ifeval] is not installed: r1jax[lm-eval]')
  from r1jax.harness import lm_eval
  monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  scripts = []

  def script(model, **sizes):
    del sizes
    scripts.append(Scripted(name, model.tokenizer))
    return scripts[-1]

  monkeypatch.setattr(lm_eval.asking, 'Asker', script)
  monkeypatch.setattr(lm_eval.likelihood, 'Scorer', script)
  words = shlex.split(TABLE[name].command.replace('WORKDIR', str(workdir)).replace('path=DIR', f'path={place}'))
  assert words[:3] == ['python', '-m', 'r1jax.harness.lm_eval']
  words[words.index('--tasks') + 1] = tasks
  given = f'{hub(name)}={os.path.join(data._STANDINS, name)}'
  assert lm_eval.main(['lm_eval', *words[3:], '--data', given, '--log_samples']) == 0
  path, = (workdir / 'eval' / name).rglob('results_*.json')
  return json.loads(path.read_text()), scripts[0]


def planted(name: str, chosen=lambda row: True) -> float:
  return float(np.mean([right(number) for number, row in enumerate(rows_of(name)) if chosen(row)]))


@pytest.mark.parametrize('name', BY_LM_EVAL)
def test_lm_evals_own_task_scores_what_was_planted(name, place, tmp_path, monkeypatch):
  assert len(rows_of(name)) >= 10
  found, script = lm_eval_says(name, PARTS[name], place, tmp_path, monkeypatch)
  counted = {}
  for task in PARTS[name].split(','):
    subject = task.removeprefix('mmlu_pro_') if name == 'mmlu_pro' else ''
    of_it = [value for key, value in found['results'][task].items() if key.split(',')[0] == TABLE[name].counted_as]
    counted[task] = of_it[0]
    assert len(of_it) == 1 and of_it[0] == pytest.approx(planted(name, lambda row: row.get('category', '') == subject),
                                                         abs=1e-12)
  if name in ANSWERED:
    assert {(ask.temperature, ask.top_p, ask.stop) for ask in script.asked} == {(0.6, 0.95, ())}  # as section 3 asks
    assert all(ask.max_tokens == 32768 for ask in script.asked)
  else:
    assert not script.asked
  scored_again(name, found, tmp_path, counted)


def scored_again(name: str, found: dict, workdir, counted: dict) -> None:
  """lm-eval's `samples_*.jsonl` hold what each question scored: their mean is the score of results.json."""
  for task, score in counted.items():
    path, = workdir.rglob(f'samples_{task}_*.jsonl')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert np.mean([row[TABLE[name].counted_as] for row in rows]) == pytest.approx(score, abs=1e-12)


def test_mmlu_by_inspect_scores_what_was_planted(place, tmp_path, monkeypatch):
  """inspect_evals' own task, prompts and scorer; the mean of what each question scored is its score."""
  ai = pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: r1jax[eval]')
  pytest.importorskip('inspect_evals', reason='inspect_evals is not installed: r1jax[eval]')
  from r1jax.harness import inspect_provider
  from r1jax.harness import inspect_registry
  asked = []

  class Service:
    """Answers by the script, from a thread as the model does."""

    def __init__(self, asker):
      self.script = Scripted('mmlu', asker.model.tokenizer)

    def submit(self, ask, done):
      asked.append(ask)
      (_, samples), = self.script([ask])
      threading.Thread(target=done, args=(samples,)).start()
      return len(asked)

    def close(self):
      pass

  monkeypatch.setattr(inspect_provider.asking, 'Service', Service)
  task = inspect_registry.local('mmlu_0_shot', f'{hub("mmlu")}={os.path.join(data._STANDINS, "mmlu")}', cot=True)
  log, = ai.eval(task, model=f'r1jax/{place}', temperature=0.6, top_p=0.95, max_tokens=32768, max_connections=64,
                 display='none', log_format='json', log_dir=str(tmp_path / 'eval/mmlu'))
  assert log.status == 'success', log.error
  values = [float(score.value == 'C') for sample in log.samples for score in sample.scores.values()]
  assert len(values) == len(rows_of('mmlu')) >= 10 and np.mean(values) == pytest.approx(planted('mmlu'), abs=1e-12)
  assert {(ask.temperature, ask.top_p, ask.max_tokens) for ask in asked} == {(0.6, 0.95, 32768)}
  (model,) = tables.models([tmp_path])
  assert model.scores['mmlu'] == {'accuracy': pytest.approx(planted('mmlu'), abs=1e-12), 'made_by': 'inspect_ai'}


def test_every_row_has_a_stand_in_or_a_first_request():
  """Of ten rows or more; what programs of their own run has the request that they send first."""
  for name, row in TABLE.items():
    if row.runs == 'endpoint':
      assert name in first_requests_test.ROWS.values()
    elif row.runs == 'ours':
      assert os.path.exists(os.path.join(data._STANDINS, f'{name}.jsonl'))
    else:
      assert len(rows_of(name)) >= 10 and len({question(each) for each in rows_of(name)}) == len(rows_of(name))


@pytest.mark.slow
@pytest.mark.parametrize('name', BY_LM_EVAL)
def test_the_tables_command_and_what_the_tables_show(name, place, tmp_path, monkeypatch):
  """All subjects, each with the stand-in's questions, so that the score is the stand-in's."""
  lm_eval_says(name, TABLE[name].task, place, tmp_path, monkeypatch)
  (model,) = tables.models([tmp_path])
  assert model.scores[name][TABLE[name].metric] == pytest.approx(planted(name), abs=1e-12)
  assert model.scores[name]['made_by'] == 'lm-eval'
