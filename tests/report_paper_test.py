"""The paper's numbers in the report, by hand from its tables 2, 4, 5 and 6."""

import pytest

from r1jax import report
from r1jax.report import paper

from report_truth_test import cells


@pytest.mark.parametrize('name, task, wanted, other', [
    ('r1_tiny', 'sums', [['DeepSeek-R1, 671B', 'AIME 2024', '–', '79.8', '–']], 'Another size of model and other questions:'),
    ('r1_deepseek-v3', 'math_500', [['DeepSeek-R1, 671B', 'MATH-500', '–', '97.3', '–']], ''),
    ('distill_qwen-7b', 'aime_2024', [['DeepSeek-R1-Distill-Qwen-7B, 7B', 'AIME 2024', '–', '55.5', '83.3 (cons@64)']], ''),
    ('distill_tiny', 'sums', [['DeepSeek-R1-Distill-Qwen-1.5B, 1.5B', 'AIME 2024', '–', '28.9', '52.7 (cons@64)']], 'Another'),
    ('r1_zero_smollm2', 'MATH-500', [['DeepSeek-R1-Zero, 671B', 'MATH-500', '–', '95.9', '–']], 'Another size of model:'),
    ('table6_tiny', 'gpqa_diamond', [['DeepSeek-R1-Zero-Qwen-32B, 32B', 'GPQA Diamond', '–', '55.0', '–'],
                                     ['DeepSeek-R1-Distill-Qwen-32B, 32B', 'GPQA Diamond', '–', '62.1', '–']], 'Another')])
def test_the_papers_system_is_that_of_the_config(name, task, wanted, other):
  run = report.load.Run(name, None, [], {'name': name})
  html = '\n'.join(paper.beside(run, [report.load.Result(task, 'final', 1, {'pass@1': 0.5})]))
  _, ours, *theirs = cells(html, 'beside-the-paper')
  assert ours == ['this run', task, '–', '50.0', '–'] and theirs == wanted
  assert other in html and ('Another' in html) == bool(other)


@pytest.mark.parametrize('name', ['mine', 'r1_no_language', '', None])
def test_a_config_of_ones_own_has_no_counterpart(name):
  run = report.load.Run('run', None, [], {'name': name})
  assert paper.beside(run, [report.load.Result('aime_2024', 'final', 1, {'pass@1': 0.5})]) == []
