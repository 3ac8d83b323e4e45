"""r1jax tables: the paper's numbers, ours and NOT RUN side by side, as text, CSV, LaTeX and in the report."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from r1jax import benchmarks
from r1jax import report
from r1jax import tables as command
from r1jax.benchmarks import paper
from r1jax.benchmarks.table import TABLE
from r1jax.report import tables


def write(path, **said):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(said))


@pytest.fixture(name='workdir')
def _workdir(tmp_path):
  """Of a command: AIME, a part of MATH-500, a rating, lm-eval's and inspect's files, a reason, and a stand-in."""
  run, of = tmp_path / 'mine', lambda name: tmp_path / 'mine/eval' / name / 'scores.json'
  write(of('aime_2024'), task='aime_2024', n_questions=30, n_samples=64,
        **{'pass@1': 0.2885, 'pass@1_stderr': 0.061, 'cons@64': 0.5})
  write(of('math_500'), task='math_500', n_questions=100, n_samples=16, **{'pass@1': 0.75})
  write(of('codeforces'), task='codeforces', n_questions=60, n_samples=4, rating=954.4, percentile=0.203)
  write(of('drop'), task='drop', n_questions=9536, n_samples=1, f1=0.881, f1_stderr=0.002)
  write(run / 'eval/mmlu_redux/model/results_2026-01-01.json', results={'mmlu_redux_generative': {
      'exact_match,default': 0.61, 'exact_match_stderr,default': 0.01}})
  write(run / 'eval/simpleqa/log.json', results={'scores': [{'name': 's', 'metrics': {'correct': {'value': 0.25}}}]})
  write(run / 'eval/gpqa_diamond/not_run.json', task='gpqa_diamond', reason='no data here')
  write(of('livecodebench_standin'), task='livecodebench_standin', n_questions=10, n_samples=2, **{'pass@1': 1.0})
  return run


def cells(workdir, name):
  table = tables.build(name, tables.models([workdir]))
  turned = table if name != 'table4' else None
  ours = table.cells[-1] if turned else [row[-1] for row in table.cells]
  return dict(zip([place.title for place in paper.places(name)], ours)), table


def test_ours_stand_beside_the_papers(workdir):
  row, table = cells(workdir, 'table5')
  assert row['AIME 2024 pass@1'] == pytest.approx(28.85) and row['AIME 2024 cons@64'] == 50
  assert row['MATH-500 pass@1'] == 75 and row['Codeforces rating'] == 954.4
  assert row['GPQA Diamond pass@1'] == 'NOT RUN: no data here'
  assert row['LiveCodeBench pass@1'].startswith('NOT RUN: no eval/livecodebench/scores.json here')  # not the stand-in's
  assert table.rows[-2:] == ['DeepSeek-R1-Distill-Llama-70B', 'mine (ours)'] and table.cells[-2][0] == 70.0
  assert table.notes[10, 2] == '100 of 500 questions, 16 samples a question'
  assert table.notes[10, 0] == 's.e. 6.1, 64 samples a question'
  row, _ = cells(workdir, 'table4')
  assert row['Codeforces (Percentile)'] == pytest.approx(20.3) and row['DROP (3-shot F1)'] == pytest.approx(88.1)
  assert row['MMLU-Redux (EM)'] == pytest.approx(61) and row['SimpleQA (Correct)'] == 25
  assert 'judged by GPT-4-Turbo-1106' in row['ArenaHard (GPT-4-1106)']


def test_a_vote_of_fewer_samples_is_shown_as_such(tmp_path):
  write(tmp_path / 'eval/aime_2024/scores.json', task='aime_2024', n_questions=30, n_samples=16,
        **{'pass@1': 0.1, 'cons@16': 0.2})
  row, table = cells(tmp_path, 'table2')
  assert row['AIME 2024 cons@64'] == 20 and table.notes[3, 1] == 'cons@16'


def test_what_came_later_counts_for_more_than_a_reason(tmp_path):
  write(tmp_path / 'eval/mmlu_redux/not_run.json', task='mmlu_redux', reason='it is run by lm-eval')
  assert cells(tmp_path, 'table4')[0]['MMLU-Redux (EM)'] == 'NOT RUN: it is run by lm-eval'
  for time, value in (('T1', 0.5), ('T2', 0.75)):
    write(tmp_path / f'eval/mmlu_redux/m/results_{time}.json', results={'mmlu_redux_generative': {'exact_match,x': value}})
  assert cells(tmp_path, 'table4')[0]['MMLU-Redux (EM)'] == 75


@pytest.mark.parametrize('said', [{'pass@1': None}, {'pass@1': 'a'}, {'pass@1': float('nan')}, {'pass@1': True}, {}])
def test_what_is_no_number_is_never_one(tmp_path, said):
  write(tmp_path / 'eval/math_500/scores.json', task='math_500', **said)
  assert cells(tmp_path, 'table2')[0]['MATH-500 pass@1'] == 'NOT RUN: its scores.json has no pass@1'


@pytest.mark.parametrize('text, why', [('{', 'is corrupt'), ('[]', 'holds no object')])
def test_a_corrupt_file_is_named(tmp_path, text, why):
  path = tmp_path / 'eval/math_500/scores.json'
  path.parent.mkdir(parents=True)
  path.write_text(text)
  assert why in cells(tmp_path, 'table2')[0]['MATH-500 pass@1']


def test_stages_and_models_of_a_pipeline_have_a_line_each(tmp_path):
  for stage, label, value in (('3_evaluate', 'aime_2024.base', 0.1), ('3_evaluate', 'aime_2024', 0.2),
                              ('10_evaluate', 'aime_2024', 0.3)):
    write(tmp_path / 'run' / stage / 'eval' / label / 'scores.json', task='aime_2024', n_questions=30, n_samples=64,
          **{'pass@1': value})
  found = {model.label: model.scores['aime_2024']['pass@1'] for model in tables.models([tmp_path / 'run'])}
  assert found == {'run: base': 0.1, 'run': 0.3}  # of two stages the later one counts


@pytest.mark.parametrize('name', paper.TABLES)
def test_csv_has_every_number_of_the_paper_in_full(workdir, name):
  rows = list(csv.reader(io.StringIO(tables.as_csv(tables.build(name, tables.models([workdir]))))))
  found = {(row[0], column): cell for row in rows[1:] for column, cell in zip(rows[0][1:], row[1:])}
  for model, numbers in paper.models(name).items():
    for place, number in zip(paper.places(name), numbers):
      at = (place.title, model) if name == 'table4' else (model, place.title)
      assert found[at] == ('' if number is None else str(number))
  assert any(cell.startswith('NOT RUN: ') for cell in found.values())


@pytest.mark.parametrize('name', paper.TABLES)
def test_text_and_latex_have_a_cell_for_each_and_every_reason(workdir, name):
  table = tables.build(name, tables.models([workdir]))
  text, latex = tables.text(table), tables.latex(table)
  body = latex.split('\\midrule\n')[1].split('\\bottomrule')[0].strip().split('\n')
  assert len(body) == len(table.rows)
  assert {len(re.findall(r'(?<!\\)&', line)) for line in body} == {len(table.columns)}
  for reason in {v for row in table.cells for v in row if isinstance(v, str)}:
    assert f'] {reason}\n' in text
  lines = text.split('\n')[2:3 + len(table.rows)]
  assert len({len(line) for line in lines}) == 1  # set under each other


def test_a_report_has_the_tables_that_something_of_ours_is_in(workdir, tmp_path):
  page = report.write(workdir).read_text()
  assert 'Beside the paper' in page and 'Table 5: Distilled models' in page and 'NOT RUN: no data here' in page
  other = tmp_path / 'other'
  write(other / 'eval/chain_sum/scores.json', task='chain_sum', n_questions=9, n_samples=2, **{'pass@1': 0.5})
  assert 'Beside the paper' not in report.write(other).read_text()


def test_the_command(workdir, tmp_path, capsys):
  assert command.main(['x', f'--workdir={workdir}']) == 0
  said = capsys.readouterr().out
  assert [line for line in said.split('\n') if line.startswith('Table ')] == [
      f'Table {n}: {paper.load()[f"table{n}"]["title"]}' for n in (2, 4, 5, 6)]
  (tmp_path / 'sums/eval/chain_sum').mkdir(parents=True)
  assert command.main(['x', f'--workdir={tmp_path}/sums', '--tables=2']) == 0
  assert 'nothing of these tables was evaluated in' in (err := capsys.readouterr().err) and '--format=markdown' in err
  assert command.main(['x', f'--workdir={workdir}', '--tables=5', '--format=latex']) == 0
  assert capsys.readouterr().out.startswith('% Table 5')
  for flags, why in ((['--workdir=/nowhere'], 'no such directory'), ([f'--workdir={tmp_path}'], 'has no eval/'),
                     ([], '--workdir'), ([f'--workdir={workdir}', '--tables=3'], 'table3 is none of 2, 4, 5, 6'),
                     ([f'--workdir={workdir}', '--format=word'], '--format')):
    assert command.main(['x', *flags]) == 2
    err = capsys.readouterr().err
    assert why in err and err.count('\n') == 1


def test_the_command_needs_no_jax(workdir):
  code = ('import sys; from r1jax import tables; tables.main(["x", sys.argv[1]]); '
          'assert not {"jax", "flax", "ml_collections"} & set(sys.modules)')
  done = subprocess.run([sys.executable, '-c', code, f'--workdir={workdir}'], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr


def test_every_benchmark_says_why_it_has_no_score():
  for benchmark in TABLE.values():
    said = benchmarks.not_run(benchmark)
    assert '\n' not in said and (benchmark.command or f'--tasks={benchmark.name}') in said
