"""A task whose answers are graded, not right or wrong: its score stands in the report's table and in a run's summary."""

import json

from r1jax import summary
from r1jax.report import load, parts

F1 = {'eval/drop/f1': 0.6, 'eval/drop/f1_stderr': 0.05, 'eval/drop/f1_low': 0.5, 'eval/drop/f1_high': 0.7,
      'eval/drop/length_tokens': 12.0, 'eval/sums/pass@1': 0.25, 'eval/sums/pass@1_stderr': 0.01,
      'eval/sums/cons@4': 0.5}


def test_a_task_has_the_score_that_it_is_scored_by():
  assert load.tasks([F1]) == ['drop', 'sums'] and load.tasks([{'eval/drop/f1': 0.6}]) == []
  assert load.metric_of(['f1_low', 'f1', 'f1_high', 'words']) == 'f1' and load.metric_of(['words']) == ''


def test_it_stands_in_the_table_of_the_report():
  found = [load.Result('drop', 'final', 3, {'f1': 0.6, 'f1_stderr': 0.05, 'f1_low': 0.5, 'f1_high': 0.7}),
           load.Result('sums', 'final', 3, {'pass@1': 0.25, 'pass@1_stderr': 0.01})]
  table = parts.results(found)
  assert 'f1 60.0 ± 5.0' in table and 'pass@1 25.0 ± 1.0' in table and 'f1 or pass@1 ± s.e.' in table
  alone = parts.results(found[:1])
  assert '60.0 ± 5.0' in alone and 'f1 60.0' not in alone and 'f1 ± s.e.' in alone


def test_what_worked_means_is_said_where_a_model_is_called_so():
  said = lambda *models: parts.results([load.Result('sums', model, 3, {'pass@1': 0.25}) for model in models])
  assert '"Worked": the first words' in said('base', 'base_worked', 'final') and 'Worked' not in said('base', 'final')


def test_what_worked_means_is_said_in_the_summary_too(tmp_path):
  for models in (['base', 'final'], ['base', 'base_worked', 'final']):
    (tmp_path / 'metrics.jsonl').write_text(''.join(
        json.dumps({'step': 3, 'stage': 'evaluate', 'model': model, **F1}) + '\n' for model in models))
    said = [line for line in summary.results(str(tmp_path)) if line.startswith('_worked')]
    assert len(said) == len(models) - 2 and all(len(line) < summary.WIDTH for line in said)


def test_it_stands_in_the_summary_of_a_run(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(json.dumps({'step': 3, 'stage': 'evaluate', 'model': 'final', **F1}) + '\n')
  lines = summary.results(str(tmp_path))
  drop, sums = (next(i for i, line in enumerate(lines) if line.startswith(task)) for task in ('drop', 'sums'))
  assert lines[drop].split() == ['drop', 'f1', 'tokens'] and '0.600 ± 0.050' in lines[drop + 2]
  assert lines[sums].split() == ['sums', 'pass@1', 'cons@4', 'tokens'] and '0.250 ± 0.010' in lines[sums + 2]
