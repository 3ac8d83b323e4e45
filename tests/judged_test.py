"""Benchmarks that a judge grades, by an endpoint that goes by a script: published layouts, scores that are known beforehand,
the command and the stage, the same again from the samples, and what is said where nobody judges."""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from r1jax import benchmarks
from r1jax import evaluate
from r1jax import stopping
from r1jax.benchmarks.table import TABLE
from r1jax.data import benchmarks as data
from r1jax.data import layouts
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import checkpoint
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError
from r1jax.models import zoo
from r1jax.report import tables
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import pool
from r1jax.rewards.judge import scores as judge_scores
from r1jax.stages import asking
from r1jax.stages import benchmarks as stage_benchmarks
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.stages import evaluate as evaluate_stage
from r1jax.stages import grading
from r1jax.stages import judges
from r1jax.stages import rescore
from r1jax.stages import scoring

import runs
import simulated

JUDGED = [name for name, row in TABLE.items() if row.judge and row.runs == 'ours']


def verdict(prompt: str) -> str:
  """The script. A reply is right that has the known answer's words; of two the better one is GOOD, or even BEST; of as
  good ones it takes the first, or neither where that may be said."""
  if 'Reply 1:' in prompt:
    first, second = re.search(r'Reply 1:\n(.*?)\n\nReply 2:\n(.*?)\n\nEnd with', prompt, re.DOTALL).groups()
    worth = lambda text: 2 if 'BEST' in text else 1 if 'GOOD' in text else 0
    difference = worth(first) - worth(second)
    if '1>>2' not in prompt:
      return f'VERDICT: {"1" if difference >= 0 else "2"}'
    return f'VERDICT: {({2: "1>>2", 1: "1>2", 0: "1=2", -1: "2>1", -2: "2>>1"})[difference]}'
  known, said = re.search(r'Known answer:\n(.*?)\n\nReply:\n(.*?)\n\nEnd with', prompt, re.DOTALL).groups()
  if 'VERDICT: TRUE' in prompt:
    return f'VERDICT: {"TRUE" if known in said else "FALSE"}'
  return f'VERDICT: {"CORRECT" if known in said else "NOT_ATTEMPTED" if "cannot say" in said else "INCORRECT"}'


class Handler(http.server.BaseHTTPRequestHandler):

  def do_POST(self):
    prompt = json.loads(self.rfile.read(int(self.headers['Content-Length'])))['messages'][0]['content']
    with self.server.lock:
      self.server.asked.append(prompt)
    if self.server.broken:
      return self.send(400, {'error': {'message': 'broken'}})
    return self.send(200, {'choices': [{'message': {'content': self.server.script(prompt)}}], 'usage': {'total_tokens': 9}})

  def do_GET(self):
    self.send(200, {'data': [{'id': 'v3'}]})

  def send(self, status, said):
    body = json.dumps(said).encode()
    self.send_response(status)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *args):
    pass


@pytest.fixture(name='server')
def _server():
  made = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  made.lock, made.asked, made.script, made.broken = threading.Lock(), [], verdict, False
  made.url = f'http://127.0.0.1:{made.server_port}/v1'
  threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
  yield made
  made.shutdown()
  made.server_close()


# --- layouts


@pytest.mark.parametrize('name', JUDGED)
def test_a_layout_gives_what_its_judge_needs(name):
  rows = tasks.load(f'{name}:standin', size=0, seed=0)
  assert len(rows) >= 10 and len({row['id'] for row in rows}) == len(rows)
  for row in rows:
    assert judge_lib.verdicts.kind_of(row) and row['reward'] == 'judge'
    assert scoring.metric_of(row) == TABLE[name].metric == judge_scores.METRICS[row['judge']]
  checking.graders(rows, judged=True)
  with pytest.raises(UserError, match='never a step of RL'):
    checking.graders(rows)


@pytest.mark.parametrize('layout, row, want', [
    ('simpleqa', {'problem': ' who? ', 'answer': 7, 'metadata': '{}'}, ('who?', '7', None)),
    ('c_simpleqa', {'question': '谁？', 'answer': '他', 'id': 5}, ('谁？', '他', '5')),
    ('frames', {'Prompt': 'q', 'Answer': 'a', 'wiki_links': '[]'}, ('q', 'a', None)),
    ('alpaca_eval', {'instruction': 'q', 'output': 'b\n', 'generator': 'g'}, ('q', 'b\n', None)),
    ('arena_hard', {'uid': 'u', 'prompt': 'q', 'baseline': 'b'}, ('q', 'b', 'u')),
    ('arena_hard', {'question_id': 'u', 'turns': [{'content': 'q'}], 'baseline': 'b'}, ('q', 'b', 'u'))])
def test_columns_as_they_are_published(layout, row, want):
  (found,) = layouts.read(layout, row)
  assert (found['question'], found.get('baseline', found['answer']), found.get('id')) == want


@pytest.mark.parametrize('layout, row, why', [
    ('simpleqa', {'problem': 'q'}, "no 'answer'"), ('frames', {'Answer': 'a'}, "no 'Prompt'"),
    ('c_simpleqa', {'question': '', 'answer': 'a'}, "no 'question'"), ('alpaca_eval', {'instruction': 'q'}, "no 'output'"),
    ('alpaca_eval', {'instruction': 'q', 'output': ['b']}, 'no text'), ('arena_hard', {'turns': [], 'baseline': 'b'}, "no 'prompt'"),
    ('arena_hard', {'uid': 'u', 'prompt': 'q'}, "no 'baseline'")])
def test_what_a_judged_row_lacks(layout, row, why):
  with pytest.raises(layouts.LeftOut, match=why):
    layouts.read(layout, row)


# --- scores that are known


def said_of(row, right):
  """A sample's final part that the script judges so: True, False, or None, not attempted (a comparison: as good)."""
  if row['judge'] in ('better', 'grade'):
    return {True: 'a GOOD one', False: '', None: 'so so'}[right]
  return {True: f'It is {row["answer"]}.', False: 'It is otherwise.', None: 'I cannot say.'}[right]


def judged(server, rows, plan, directory, samples=3):
  """Records of samples that are right as plan(question, sample) says, judged over the network."""
  judge = judge_lib.Judge(together=judges.endpoint({'url': server.url, 'model': 'v3'}, str(directory), 0.0))
  text = lambda row, right: (f'<think> t </think> <answer> {said_of(row, right)} </answer>'
                             if said_of(row, right) else '<think> never closes')
  asked = [(row, [grading.Said(text(row, plan(i, g)), 5, 'stop') for g in range(samples)]) for i, row in enumerate(rows)]
  return grading.records(judges.Pool(pool.shared(), judge), asked)


PLAN = lambda i, g: (True, False, None)[(i + g) % 4 % 3]  # over 4: right, wrong, not attempted, right
SETTINGS = dict(n_samples=3, temperature=0.6, top_p=0.95, max_tokens=32, judge_model='v3')


@pytest.mark.parametrize('name', JUDGED)
def test_a_judged_standin_scores_what_was_planted(name, server, tmp_path):
  rows = [{'task': name, **row, 'format': 'deepseek_r1'} for row in tasks.load(f'{name}:standin', size=0, seed=0)]
  records = judged(server, rows, PLAN, tmp_path)
  planted = [PLAN(i, g) for i in range(len(rows)) for g in range(3)]
  got, share = scoring.scores(records, rows, SETTINGS, name), lambda value: planted.count(value) / len(planted)
  assert got['metric'] == TABLE[name].metric and got['judge'] == 'v3' and got['errors'] == 0 and got['benchmark'] == name
  if name in ('simpleqa', 'c_simpleqa'):
    right, wrong = share(True), share(False)
    given = right / (right + wrong)
    want = {'correct': right, 'incorrect': wrong, 'not_attempted': share(None), 'correct_given_attempted': given,
            'f1': 2 * given * right / (given + right)}
  elif name == 'frames':
    want = {'accuracy': share(True)}
  elif name == 'alpaca_eval':  # as good: the one that is seen first, so half
    want = {'winrate': share(True) + share(None) / 2}
  else:  # '>' twice, '<<' twice with weight 3 for what never closes, '=' twice
    wins, losses, ties = share(True), 3 * share(False), share(None)
    want = {'winrate': (wins + ties / 2) / (wins + losses + ties)}
  assert {key: got[key] for key in want} == pytest.approx(want, abs=1e-12)
  values = [[s['value'] for s in record['samples']] for record in records]
  if name not in ('arena_hard', 'alpaca_eval'):
    assert got[f'{got["metric"]}_stderr'] == pytest.approx(np.mean(values, axis=1).std(ddof=1) / len(rows)**0.5)
  assert got[f'{got["metric"]}_low'] <= got[got['metric']] <= got[f'{got["metric"]}_high']
  again = rescored(tmp_path, rows, records, name, len(server.asked), server)
  assert again == {**got, 'slot_use': None}


def rescored(directory, rows, records, name, calls, server):
  write = lambda file, found: (directory / file).write_text(''.join(json.dumps(each) + '\n' for each in found))
  write(asking.QUESTIONS, rows)
  write(asking.SAMPLES, [{'number': i, **record} for i, record in enumerate(records)])
  write(asking.SETTINGS, [{**SETTINGS, 'samples': 3}])
  write(asking.SCORES, [{'task': name}])
  samples = (directory / asking.SAMPLES).read_bytes()
  again = rescore.rescore(str(directory))
  assert not again.changes and len(server.asked) == calls
  assert [json.loads(a) for a in samples.splitlines()] == [
      json.loads(b) for b in (directory / asking.SAMPLES).read_bytes().splitlines()]
  return again.result


def test_length_counts_in_characters_of_what_the_judge_saw(server, tmp_path):
  """One sample each: the numbers are those of rewards/judge/scores.py on the texts."""
  rows = [{**row, 'format': 'deepseek_r1'} for row in tasks.load('alpaca_eval:standin', size=0, seed=0)]
  texts = [f'<think> long {"x" * 99} </think> <answer> {"GOOD " * (1 + i % 4) if i % 3 else "so so"} </answer>'
           for i in range(len(rows))]
  judge = judge_lib.Judge(together=judges.endpoint({'url': server.url, 'model': 'v3'}, str(tmp_path), 0.0))
  graded = judge.grade(rows, texts)
  records = grading.records(judges.Pool(pool.shared(), judge), [
      (row, [grading.Said(text, 5, 'stop')]) for row, text in zip(rows, texts)])
  got = scoring.scores(records, rows, {**SETTINGS, 'n_samples': 1}, 'alpaca_eval')
  want = judge_scores.of(rows, texts, graded, judge_lib.final)
  assert {key: got[key] for key in ('winrate', 'lc_winrate', 'lc_winrate_low', 'lc_winrate_high')} == pytest.approx(
      {key: want[key] for key in ('winrate', 'lc_winrate', 'lc_winrate_low', 'lc_winrate_high')})
  assert records[1]['samples'][0]['chars'] == len('GOOD GOOD') and got['lc_winrate'] != got['winrate']


def test_what_cannot_be_read_is_an_error_and_no_zero(server, tmp_path):
  rows = [{'task': 'simpleqa', **row, 'format': 'deepseek_r1'} for row in tasks.load('simpleqa:standin', size=0, seed=0)]
  server.script = lambda prompt: 'I wonder.' if rows[0]['question'] in prompt else verdict(prompt)
  got = scoring.scores(judged(server, rows, lambda i, g: i < 7, tmp_path), rows, SETTINGS, 'simpleqa')
  assert got['errors'] == pytest.approx(1 / 12) and got['correct'] == pytest.approx(6 / 11)
  server.script = lambda prompt: 'I wonder.'
  with pytest.raises(UserError, match="simpleqa: none of the judge's verdicts on 12 questions can be read") as error:
    scoring.scores(judged(server, rows, lambda i, g: True, tmp_path / 'b'), rows, SETTINGS, 'simpleqa')
  assert '\n' not in str(error.value)


# --- who judges, and who does not


def test_no_step_of_rl_is_judged(tmp_path):
  from r1jax.stages import judging
  with pytest.raises(UserError, match='never a step of RL'):
    judging.Scorer({'accuracy': 1.0}, str(tmp_path), tasks.load('frames:standin', size=0, seed=0))


def test_without_a_judge_it_is_not_run_and_the_way_out_is_named(caplog):
  why = judges.none_for_evaluation('', benchmarks.JUDGE_FLAGS)
  assert why == 'needs a judge: --judge_url=http://HOST:8000/v1 --judge_model=NAME'
  several = {'simpleqa_standin': 'simpleqa:standin', 'drop_standin': 'drop:standin'}
  with caplog.at_level('WARNING', 'r1jax'):
    assert stage_benchmarks.left_out(several, why) == {'simpleqa_standin': why}
  assert stage_benchmarks.left_out(several) == {}
  with pytest.raises(UserError, match='simpleqa needs a judge: --judge_url'):
    stage_benchmarks.left_out({'simpleqa': 'simpleqa:standin'}, why)


def test_of_several_hosts_the_first_asks_and_all_know(monkeypatch):
  """Verdicts come while others are still sampled; all hosts have the same records, each question is asked once."""
  asked, gate = [], threading.Event()

  def grade(some):
    gate.wait(20)
    asked.extend(row for row, _ in some)
    return [{'id': row, 'said': said} for row, said in some]

  def work(number):
    together = grading.Together(grade)
    shared, records = judges.Shared(together), []
    for i in range(6):
      records.append(shared.submit(i, f'text {i}'))
      shared.share()
      if i == 2:
        gate.set()
    shared.share(wait=True)
    together.close()
    return [record.result(1) for record in records], together._thread is None, number

  found = simulated.Hosts(monkeypatch, 3)(work)
  assert [records for records, *_ in found] == [[{'id': i, 'said': f'text {i}'} for i in range(6)]] * 3
  assert sorted(asked) == list(range(6)) and [idle for _, idle, _ in found] == [False, True, True]


@pytest.mark.parametrize('raised, kind', [(UserError('broken'), UserError), (stopping.Stopped('stop'), stopping.Stopped),
                                          (RuntimeError('odd'), UserError)])
def test_what_a_judge_raises_is_every_hosts(monkeypatch, raised, kind):
  def grade(some):
    if some[0][0] == 1:
      raise raised
    return [{'id': row} for row, _ in some]

  def work(number):
    del number
    shared = judges.Shared(grading.Together(grade))
    records = [shared.submit(0, '')]
    shared.share(wait=True)
    records.append(shared.submit(1, ''))
    shared.share(wait=True)
    return records[0].result(1), type(records[1].exception(1)), str(records[1].exception(1))

  assert simulated.Hosts(monkeypatch, 2)(work) == [({'id': 0}, kind, str(raised))] * 2


def test_a_judge_that_is_not_there_is_every_hosts_mistake(monkeypatch, server):
  named = {'url': server.url, 'model': 'v3'}
  assert simulated.Hosts(monkeypatch, 2)(lambda number: judges.look(named)) == [None, None]
  wrong = simulated.Hosts(monkeypatch, 2)(lambda number: judges.look({**named, 'model': 'v4'}))
  assert len(wrong) == 2 and all("has no model 'v4'" in str(e) for e in wrong)
  judge = simulated.Hosts(monkeypatch, 2)(lambda number: judges.for_evaluation(named, '', 0.0).grade([], []))
  assert judge == [[], []]


@pytest.mark.slow
def test_two_hosts_are_judged_as_one(place, server):
  """Two processes of two devices each: the same records on both, and each question asked once."""
  server.script = lambda prompt: f'VERDICT: {("CORRECT", "INCORRECT", "NOT_ATTEMPTED")[sum(prompt.encode()) % 3]}'
  flags = [f'--judge_url={server.url}', '--judge_model=v3']
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  args = [*command(place, 'hosts', 'simpleqa:standin,cluewsc:standin', *flags)[1:], '--mesh=data=4']
  args.remove('--mesh=data=1')
  env = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2', 'JAX_NUM_PROCESSES': '2',
         'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}'}
  both = [subprocess.Popen([sys.executable, '-m', 'r1jax.evaluate', *args], env={**env, 'JAX_PROCESS_ID': str(i)},
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for i in range(2)]
  said = [process.communicate(timeout=550)[0] for process in both]
  assert [process.returncode for process in both] == [0, 0], '\n'.join(said)[-3000:]
  assert server.asked and len(server.asked) == len(set(server.asked))
  for name in ('simpleqa_standin', 'cluewsc_standin'):
    records = [json.loads(line) for line in (place / 'hosts/eval' / name / 'samples.jsonl').open()]
    assert records and [record['number'] for record in records] == list(range(len(records)))
  assert not (place / 'hosts/hosts/1/eval').exists()  # the first writes for both
  lines = [sorted(line for line in text.splitlines() if line.startswith('{"task"')) for text in said]
  assert lines[0] == lines[1] and len(lines[0]) == 2
  assert list((place / 'hosts/judged').glob('*.jsonl')) and not (place / 'hosts/hosts/1/judged').exists()


def test_a_checkpoint_is_to_be_served(tmp_path):
  config = runs.experiment('evaluate', 'smoke')
  config.evaluate.tasks, config.evaluate.judge.checkpoint = ('frames:standin', 'drop:standin'), str(tmp_path)
  with pytest.raises(UserError, match=f'r1jax serve --checkpoint={tmp_path} --port=8000, and evaluate.judge.url'):
    evaluate_stage.check(config, 'evaluate')


@pytest.fixture(scope='module', name='place')
def _place(tmp_path_factory, one_device):
  """A directory with a model of random weights."""
  place = tmp_path_factory.mktemp('judged')
  tokenizer = tokenizer_lib.train(['GOOD BEST cannot say it is 8 </think> <answer> </answer> Which one is it?'] * 50,
                                  str(place / 'tok'), vocab_size=320, pieces=[])
  model = zoo.build(zoo.get('nano', vocab_size=tokenizer.vocab_size))
  common.save_model(str(place / 'model'), model, tokenizer,
                    prompt=prompts.record('plain', prefill='<think> t </think> <answer> it is'))
  checkpoint.save_params(str(place / 'model'), jax.tree.map(np.asarray, mesh_lib.unbox(params_lib.init(model, 0))), {})
  return place


def command(place, out, names, *more):
  given = {'checkpoint': place / 'model', 'tasks': names, 'workdir': place / out, 'samples': 2, 'max_prompt': 200,
           'max_tokens': 8, 'slots': 8, 'mesh': 'data=1'}
  return ['evaluate', *(f'--{key}={value}' for key, value in given.items()), *more]


def test_the_command_judges_while_it_samples(place, server, capsys, monkeypatch):
  """Verdicts by a hash of what is asked, as a random model has no answer: the score is what they say, once; the same by
  --rescore; a start behind it asks nobody."""
  server.script = lambda prompt: f'VERDICT: {("CORRECT", "INCORRECT", "NOT_ATTEMPTED")[sum(prompt.encode()) % 3]}'
  flags = f'--judge_url={server.url}', '--judge_model=v3'
  capsys.readouterr()
  assert evaluate.main(command(place, 'run', 'simpleqa:standin,cluewsc:standin', *flags)) == 0
  found = {each['task']: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
  directory = place / 'run/eval/simpleqa_standin'
  read = lambda: [json.loads(line) for line in (directory / 'samples.jsonl').read_text().splitlines()]
  said = [(row, s) for row, record in zip(asking.rows_of(directory / 'questions.jsonl'), read()) for s in record['samples']]
  want = []
  for row, sample in said:
    final = judge_lib.final(sample['text'], row)
    want.append(server.script(judge_lib.wording.CORRECT.format(question=row['question'], first=row['answer'], second=final))
                .partition(': ')[2] if final else 'NOT_ATTEMPTED')
  assert [s['verdicts'] for _, s in said] == [[each] for each in want] and len(set(want)) == 3 and len(want) == 24
  got = found['simpleqa_standin']
  assert got['correct'] == pytest.approx(want.count('CORRECT') / 24) and got['judge'] == 'v3' and got['errors'] == 0
  assert found['cluewsc_standin']['metric'] == 'pass@1' and 'judge' not in found['cluewsc_standin']
  assert json.loads((directory / 'settings.json').read_text())['judge_model'] == 'v3'
  assert 'judge_model' not in json.loads((place / 'run/eval/cluewsc_standin/settings.json').read_text())
  assert server.url not in (directory / 'settings.json').read_text() and list((place / 'run/judged').glob('*.jsonl'))

  calls, before = len(server.asked), [(directory / f).read_bytes() for f in ('samples.jsonl', 'scores.json')]
  assert evaluate.main(['evaluate', '--rescore', f'--workdir={place}/run']) == 0
  assert before == [(directory / f).read_bytes() for f in ('samples.jsonl', 'scores.json')] and len(server.asked) == calls
  for file in ('scores.json', 'samples.jsonl'):  # answers are paid for once
    (directory / file).unlink()
  assert evaluate.main(command(place, 'run', 'simpleqa:standin,cluewsc:standin', *flags)) == 0
  assert before[0] == (directory / 'samples.jsonl').read_bytes() and len(server.asked) == calls


def test_a_slow_judge_holds_nothing_up(place, server, monkeypatch):
  """It answers the first question when the other task, which is sampled behind its own, has ended; then all at once."""
  ended, batches, grade = place / 'slow/eval/cluewsc_standin/scores.json', [], judge_lib.Judge.grade

  def script(prompt):
    del prompt
    until = time.monotonic() + 60
    while not ended.exists() and time.monotonic() < until:
      time.sleep(0.01)
    return f'VERDICT: {"CORRECT" if ended.exists() else "INCORRECT"}'

  server.script = script
  monkeypatch.setattr(judge_lib.Judge, 'grade', lambda self, rows, texts: batches.append(len(rows)) or grade(
      self, rows, texts))
  flags = f'--judge_url={server.url}', '--judge_model=v3'
  assert evaluate.main(command(place, 'slow', 'simpleqa:standin,cluewsc:standin', *flags)) == 0
  said = [s['verdicts'] for line in (place / 'slow/eval/simpleqa_standin/samples.jsonl').read_text().splitlines()
          for s in json.loads(line)['samples']]
  assert ['CORRECT'] in said and ['INCORRECT'] not in said
  assert sum(batches) == 24 and max(batches) > 2 and len(batches) < 12  # two samples a question


def test_the_command_without_a_judge(place, capsys, server):
  assert evaluate.main(command(place, 'alone', 'frames:standin')) == 2
  assert 'frames_standin needs a judge: --judge_url=http://HOST:8000/v1 --judge_model=NAME' in capsys.readouterr().err
  assert evaluate.main(command(place, 'alone', 'frames:standin', f'--judge_url={server.url}')) == 2
  assert 'needs --judge_model' in capsys.readouterr().err
  assert evaluate.main(command(place, 'alone', 'frames:standin', '--judge_url=http://127.0.0.1:9/v1', '--judge_model=v3')) == 2
  assert not (place / 'alone/eval').exists()
  assert evaluate.main(command(place, 'some', 'arena_hard:standin,cluewsc:standin', '--samples=1')) == 0
  assert json.loads((place / 'some/eval/arena_hard_standin/not_run.json').read_text())['reason'] == (
      'needs a judge: --judge_url=http://HOST:8000/v1 --judge_model=NAME')


def test_rows_of_your_own_may_ask_for_a_judge(place, capsys, server):
  (place / 'mine.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in (
      {'id': 'a', 'question': 'one?', 'answer': '8', 'reward': 'judge', 'judge': 'true'},
      {'id': 'b', 'question': 'two?', 'answer': '9', 'reward': 'judge', 'judge': 'true'})))
  server.script = lambda prompt: f'VERDICT: {"TRUE" if "one?" in prompt else "FALSE"}'
  asked = command(place, 'mine', f'jsonl:{place}/mine.jsonl')
  assert evaluate.main(asked) == 2 and 'mine needs a judge: --judge_url' in capsys.readouterr().err
  assert evaluate.main([*asked, f'--judge_url={server.url}', '--judge_model=v3']) == 0
  got = json.loads(capsys.readouterr().out)
  read = [json.loads(line) for line in (place / 'mine/eval/mine/samples.jsonl').read_text().splitlines()]
  spoken = [sum(bool(judge_lib.final(s['text'], row)) for s in record['samples']) for row, record in zip(
      asking.rows_of(place / 'mine/eval/mine/questions.jsonl'), read)]
  assert got['metric'] == 'accuracy' and got['accuracy'] == spoken[0] / 4 and spoken[0] > 0


def test_what_rules_have_graded_is_kept_when_the_judge_fails(place, capsys, server):
  server.broken = True
  flags = f'--judge_url={server.url}', '--judge_model=v3'
  assert evaluate.main(command(place, 'fails', 'simpleqa:standin,cluewsc:standin', *flags)) == 2
  assert 'broken' in capsys.readouterr().err and not (place / 'fails/eval/simpleqa_standin/samples.jsonl').exists()
  server.broken = False
  assert evaluate.main(command(place, 'fails', 'simpleqa:standin,cluewsc:standin', *flags)) == 0


def test_the_stage_judges_and_the_tables_show_it(tmp_path, monkeypatch, server, one_device):
  from r1jax import pipeline
  config = runs.experiment('evaluate', 'smoke')
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  config.evaluate.samples, config.evaluate.task.source = 1, ''
  for name in ('alpaca_eval', 'arena_hard'):
    (tmp_path / f'{name}.jsonl').write_bytes(open(f'{data._STANDINS}/{name}.jsonl', 'rb').read())
  monkeypatch.setenv('R1JAX_DATA', str(tmp_path))
  config.evaluate.tasks = ('alpaca_eval', 'arena_hard')
  with pytest.raises(UserError, match='needs a judge: evaluate.judge.url=http://HOST:8000/v1 and evaluate.judge.model=NAME'):
    evaluate_stage.check_files(config, 'evaluate')
  config.evaluate.judge.url, config.evaluate.judge.model = server.url, 'v3'
  pipeline.run(config, str(tmp_path / 'run'))
  (model,) = tables.models([tmp_path / 'run'])
  assert set(model.scores) == {'alpaca_eval', 'arena_hard'} and model.scores['arena_hard']['judge'] == 'v3'
  built = tables.build('table4', [model])
  shown = {row: cells[-1] for row, cells in zip(built.rows, built.cells)}
  for title, name, key in (('AlpacaEval2.0', 'alpaca_eval', 'lc_winrate'), ('ArenaHard', 'arena_hard', 'winrate')):
    (value,) = [cell for row, cell in shown.items() if row.startswith(title)]
    assert value == pytest.approx(100 * model.scores[name][key])
  assert all('judged by v3 in our words' in note for note in built.notes.values()) and len(built.notes) == 2
  (value,) = [cell for row, cell in shown.items() if row.startswith('SimpleQA')]
  assert value.startswith('NOT RUN: ') and '--judge_url' in value
