"""The numbers of README and docs are those of results/; the glossary of metrics has the names that the code writes."""

import ast
import csv
import importlib.util
import io
import os
import pathlib
import re
import struct
import subprocess
import sys

import pytest

import r1jax
from r1jax import metrics
from r1jax.stages import scoring
from r1jax.stages import search

ROOT = pathlib.Path(__file__).resolve().parent.parent
_SPEC = importlib.util.spec_from_file_location('docs_tables', ROOT / 'docs/tables.py')
tables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tables)
of_table = pytest.mark.parametrize('name', tables.names())

# Pages whose tables of numbers are all made from results/, README among them; tables of words are anyone's.
GENERATED = ('README.md', *(f'docs/{name}.md' for name in (
    'results', 'speed', 'plans', 'recipes', 'data', 'pods', 'models', 'rewards', 'sandbox', 'weights', 'r1', 'paper', 'design')))


# --- the tables


@pytest.mark.parametrize('page', tables.pages(), ids=lambda page: page.name)
def test_tables_are_those_of_results(page):
  assert tables.rendered(page) == page.read_text(), 'python docs/tables.py --write'


@of_table
def test_a_table_is_shown_and_says_what_made_it(name):
  table = tables.load(name)
  assert re.fullmatch(r'[0-9a-f]{7,40}', table['commit']) and re.fullmatch(r'\d{4}-\d\d-\d\d', table['date'])
  assert table['command'] and table['hardware'] and table['rows']
  assert any(f'<!-- table: {name} -->' in page.read_text() for page in tables.pages())


@pytest.mark.parametrize('page', GENERATED)
def test_no_number_stands_in_a_table_of_another_origin(page):
  text = tables._BLOCK.sub('', (ROOT / page).read_text())
  found = re.findall(r'((?:^\|.*\n)+)', text, re.MULTILINE)
  rows = [row for table in found if 'code |' not in table.split('\n')[0]
          for row in table.split('\n')]  # exit codes are no measurements
  assert not [row for row in rows if re.search(r'\|\s*[\d.,]+( [A-Za-z]+)?\s*(/[^|]*)?\|', row)]


@of_table
def test_csv_has_every_number_in_full(name):
  table = tables.load(name)
  rows = list(csv.DictReader(io.StringIO(tables.as_csv(table))))
  assert len(rows) == len(table['rows'])
  for row, made in zip(table['rows'], rows):
    for key, value in row.items():
      if isinstance(value, list):
        cells = [made[f'{key}.{seed}'] for seed in table['seeds']]
        assert [float(cell) if cell else None for cell in cells] == value
      elif isinstance(value, float):
        assert float(made[key]) == value


@of_table
def test_latex_has_a_cell_for_each_value(name):
  table, lines = tables.load(name), tables.latex(tables.load(name)).split('\n')
  body = lines[lines.index('\\midrule') + 1:lines.index('\\bottomrule')]
  assert len(body) == len(table['rows'])
  assert {len(re.findall(r'(?<!\\)&', line)) for line in body} == {len(table['columns']) - 1}


def test_a_table_without_its_origin_is_refused(tmp_path, monkeypatch):
  (tmp_path / 'results').mkdir()
  (tmp_path / 'results/a.json').write_text('{"id": "a", "rows": []}')
  monkeypatch.setattr(tables, 'ROOT', tmp_path)
  with pytest.raises(ValueError, match='has no command, commit'):
    tables.load('a')


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_the_records_beside_the_table_say_the_same(seed):
  row = next(row for row in tables.load('r1_zero_tiny')['rows'] if row['seed'] == seed)
  path = ROOT / f'results/r1_zero_tiny/seed_{seed}/3_evaluate/metrics.jsonl'
  found = {of['model']: of for of in metrics.read(path)}
  for model, key in (('base', 'base'), ('final', 'rl')):
    for name, of in (('pass1', 'pass@1'), ('stderr', 'pass@1_stderr'), ('cons16', 'cons@16'),
                     ('tokens', 'length_tokens')):
      assert row[f'{key}_{name}'] == found[model][f'eval/chain_sum/{of}']


@pytest.mark.parametrize('seed', [0, 1])
def test_the_records_of_r1_say_the_same(seed):
  rows = tables.load('r1_tiny_again')['rows']
  found = {of['model']: of for path in sorted((ROOT / f'results/r1_tiny_again/seed_{seed}').rglob('metrics.jsonl'))
           for of in metrics.read(path)}
  names = {'pass1': 'chain_sum/pass@1', 'stderr': 'chain_sum/pass@1_stderr', 'cons16': 'chain_sum/cons@16',
           'language': 'chain_sum/language_consistency', 'helpful_rule': 'general/helpfulness',
           'harmless_rule': 'general/harmlessness'}
  for row in rows:
    stage = re.match(r'`(\w+)`', row['stage'])[1]
    of = found['final' if stage == 'scenarios' else stage]
    for key, name in names.items():
      assert (row[key] and row[key][seed]) == of.get(f'eval/{name}'), (stage, key)


def test_the_citation_is_of_this_version():
  text = (ROOT / 'CITATION.cff').read_text()
  assert re.findall(r'^ *version: (.+)$', text, re.MULTILINE) == [r1jax.__version__] * 2
  assert re.search(r'^url: "https://', text, re.MULTILINE)
  assert re.search(r'^repository-code: "https://', text, re.MULTILINE)


@pytest.mark.parametrize('page', ['README.md', 'docs/cite.md'])
def test_the_bibtex_is_of_the_citation(page):
  bibtex = re.search(r'```bibtex\n(.*?)```', (ROOT / page).read_text(), re.DOTALL)[1]
  fields = dict(re.findall(r'(\w+) = \{+([^{}]*)\}', bibtex))
  citation = dict(re.findall(r'^(\w+): "?([^"\n]+)"?$', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE))
  assert {key: fields[key] for key in ('title', 'version', 'url')} == {
      key: citation[key] for key in ('title', 'version', 'url')}
  assert re.match(r'@software\{\w+,', bibtex)


def test_the_picture_is_drawn_from_a_run(tmp_path):
  done = subprocess.run([sys.executable, ROOT / 'docs/picture.py', f'--out={tmp_path}/a.png'], cwd=tmp_path, text=True,
                        capture_output=True, check=False, env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert done.returncode == 0, done.stderr
  sizes = []
  for path in (tmp_path / 'a.png', ROOT / 'docs/images/r1_zero_tiny.png', tmp_path / 'a_dark.png'):
    data = path.read_bytes()
    assert data[:8] == b'\x89PNG\r\n\x1a\n'
    sizes.append(struct.unpack('>II', data[16:24]))
  assert sizes[0] == sizes[1] == sizes[2] and sizes[0][0] > 2.5 * sizes[0][1]  # side by side


# --- the glossary of metrics

# In stages/ and engine/, names with a slash that are no metrics.
NO_METRICS = {
    'from_run/STAGE': 'an input', 'prompts/tokens': 'of bad_minibatch.npz', 'prompts/lengths': 'of bad_minibatch.npz',
    'experts/load': 'summed, becomes router/load_max_over_mean',
    'r1jax/hosts/': 'a key among hosts', 'blocks/q': 'a weight', 'time/1': 'each span is looked up below',
    'eval/1/1': 'evaluations are called below', 'tokens/s': 'a unit on the live line',
}


def written() -> set[str]:
  """Every name that the code can write to metrics.jsonl, placeholders as 1."""
  found = {'step', 'stage', 'rollout', 'model', 'loss', 'grad_norm', 'time/other'}
  for path in [*(ROOT / 'r1jax/stages').glob('*.py'), *(ROOT / 'r1jax/engine').glob('*.py')]:
    tree = ast.parse(path.read_text())
    inside = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
      if isinstance(node, ast.JoinedStr):
        found.add(''.join(v.value if isinstance(v, ast.Constant) else '1' for v in node.values))
      elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
        found.add(node.value)
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == 'span':
        found |= {f'time/{arg.value}' for arg in node.args if isinstance(arg, ast.Constant)}
  found = {name for name in found if name in ('step', 'stage', 'rollout', 'model', 'loss', 'grad_norm')
           or re.fullmatch(r'[a-z][a-z0-9_]*/[\w@/]+', name)}
  result = dict.fromkeys(('pass@1', 'pass@1_stderr', 'pass@4', 'cons@4', 'length_tokens', 'truncated', 'n_questions',
                          'pass@1_low', 'pass@1_high', 'length_tokens_p50', 'length_tokens_p90', 'language_consistency',
                          'words', 'reflection_words'), 0.5)
  found |= set(scoring.as_metrics({**result, 'task': '1', 'n_samples': 4}))
  samples = [{'text': '1', 'correct': True, 'tokens': 3, 'answer': '1'}]
  record = {'task': '1', 'chosen': True, 'voted': True, 'samples': samples, 'spent': 3,
            'plain': search._votes({}, samples, [True])}
  found |= {f'eval/1/{key}' for key, value in search._summary([record]).items() if isinstance(value, float)}
  found |= {f'eval/general/{name}' for name in _general()}
  return found - set(NO_METRICS)


def _general() -> set[str]:
  """The keys of what evaluate._general says of models by rules and by reward models, numbers alone."""
  keys = [node.slice for file, name in (('scoring', 'general'), ('evaluate', '_general'))
          for body in ast.parse((ROOT / f'r1jax/stages/{file}.py').read_text()).body
          if isinstance(body, ast.FunctionDef) and body.name == name for node in ast.walk(body) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)]
  return {'length_tokens', *(key.value if isinstance(key, ast.Constant) else ''.join(
      v.value if isinstance(v, ast.Constant) else '1' for v in key.values) for key in keys)}


def glossary() -> dict[str, list[str]]:
  """Name of the glossary -> the other cells of its row."""
  rows = re.findall(r'^\| `([^`]+)` \|(.*)\|$', (ROOT / 'docs/metrics.md').read_text(), re.MULTILINE)
  return {name: [cell.strip() for cell in rest.split('|')] for name, rest in rows}


def explains(entry: str, name: str) -> bool:
  return re.fullmatch(re.sub(r'NAME|TASK|KIND|(?<=@)K', '.+', re.escape(entry)), name) is not None


def test_the_glossary_has_every_name_of_the_code():
  entries = glossary()
  assert not sorted(name for name in written() if not any(explains(entry, name) for entry in entries))


def test_the_code_has_every_name_of_the_glossary():
  names = written()
  assert not [entry for entry in glossary() if not any(explains(entry, name) for name in names)]


def test_an_entry_says_its_unit_and_what_it_is():
  assert not [name for name, cells in glossary().items() if len(cells) != 4 or not cells[0] or not cells[1]]


@pytest.mark.parametrize('path', sorted((ROOT / 'results').rglob('metrics.jsonl')), ids=lambda path: path.parent.name)
def test_the_glossary_has_every_name_of_runs_that_were_made(path):
  names, entries = {name for row in metrics.read(path) for name in row}, glossary()
  assert names and not sorted(name for name in names if not any(explains(entry, name) for entry in entries))
