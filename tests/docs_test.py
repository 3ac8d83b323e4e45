"""README and docs say what is: links lead somewhere, commands exist, prose has no dates."""

import functools
import importlib.util
import itertools
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import r1jax
from r1jax import cli
from r1jax import configs
from r1jax.exceptions import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
of_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)


def prose_and_fences(text: str) -> tuple[str, str]:
  """What is outside fences, and what is inside."""
  parts = re.split(r'^```.*\n?', text, flags=re.MULTILINE)
  return ''.join(parts[::2]), ''.join(parts[1::2])


# --- the site and the links


@pytest.mark.skipif(importlib.util.find_spec('material') is None, reason='mkdocs-material is not installed: extra docs')
def test_the_site_builds_with_no_warning(tmp_path):
  done = subprocess.run([sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(tmp_path)],
                        cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'})
  assert done.returncode == 0, done.stderr
  assert {page.stem for page in PAGES[1:]} - {'index'} <= {path.name for path in tmp_path.iterdir()}


def anchors(path: pathlib.Path) -> set[str]:
  """Those that GitHub and Python-Markdown both give a page's headings: a heading for which they differ has none."""
  heads = re.findall(r'^#+ +(.+)$', prose_and_fences(path.read_text())[0], re.MULTILINE)
  github = {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads}
  markdown = {re.sub(r'[-\s]+', '-', re.sub(r'[^\w\s-]', '', head).strip().lower()) for head in heads}
  return github & markdown


@of_page
def test_links_lead_somewhere(page):
  text = prose_and_fences(page.read_text())[0]
  targets = re.findall(r'\]\(([^)\s]+)\)', text) + re.findall(r'^\[\w+\]: (\S+)$', text, re.MULTILINE)
  for target in targets:
    if '://' in target:
      here = re.match(r'https://colab.research.google.com/github/r1jax/r1jax/blob/main/(.*)', target)
      assert not here or re.fullmatch(r'colabs/0[1-6]_\w+\.ipynb', here[1]), target
      continue
    path, _, anchor = target.partition('#')
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), f'{page.name}: {target}'
    if file.suffix == '.png':
      assert anchor in ('', 'only-light', 'only-dark'), target  # the site's themes
      continue
    assert not anchor or anchor in anchors(file), f'{page.name}: {target}: headings are {sorted(anchors(file))}'


def test_the_readme_is_one_page():
  lines = PAGES[0].read_text().splitlines()
  assert len(lines) <= 150
  assert "pip install -e '.[test]' && pytest -q" in lines


@of_page
def test_prose_has_no_dates(page):
  written = re.sub(r'<!-- table: .*?<!-- end -->', '', page.read_text(), flags=re.DOTALL)  # of results/, with its day
  found = re.findall(r'\b20\d\d-\d\d-\d\d\b(?!_)', prose_and_fences(written)[0])
  assert not found, 'the day of a number belongs into results/'


def test_every_page_is_in_the_sites_navigation():
  navigation = (ROOT / 'mkdocs.yml').read_text()
  assert not [page.name for page in PAGES[1:] if not re.search(rf'[ :]{re.escape(page.name)}$', navigation, re.MULTILINE)]


# --- the commands

# What a command of README or docs may start with beside r1jax, python and bash, and why it is not looked into.
OUTSIDE = {
    'git': 'a clone', 'pytest': 'the tests themselves', 'gcloud': "Google's, not yet run", 'kubectl': "Kubernetes', not yet run", 'cd': 'the shell',
    'pip install gguf': 'another package', 'python -m r1jax.harness.lm_eval': "lm-eval's flags, harness_test.py runs it",
    'python -m lcb_runner': "LiveCodeBench's, not yet run", 'python agentless/': "Agentless', not yet run",
    'python gen_': "arena-hard-auto's, not yet run", 'python show_result': "arena-hard-auto's, not yet run",
}


def commands(page: pathlib.Path) -> list[list[str]]:
  """The words of every command in a page's fences, and of those of r1jax in its prose; optional parts as given."""
  prose, fences = prose_and_fences(page.read_text())
  lines, whole = [], ''
  for line in fences.replace('\\\n', ' ').split('\n'):
    whole = f'{whole}\n{line}' if whole else line
    try:
      shlex.split(whole, comments=True)
    except ValueError:  # a quote that goes on, or an apostrophe of a text
      if re.match(r'(r1jax|python|bash|\w+=\S+) ', whole):
        continue
    lines, whole = [*lines, whole], ''
  lines += re.findall(r'`((?:r1jax|python -m r1jax\.\w+) [^`]*)`', prose)
  out = []
  for line in lines:
    if re.match(r'([A-Z_]+=\S+ )*(r1jax|python|bash|pip|git|pytest|gcloud|kubectl|hf|cffconvert) ', line):
      plain = re.sub(r'\[(--[^\]]*)\]', r'\1', re.sub(r'\[:[^\]]*\]', '', re.sub(r' #.*', '', line)))
      out += [shlex.split(part, comments=True) for part in re.split(r' && |; ', plain)]
  return [list(itertools.dropwhile(lambda word: re.match(r'[A-Z_]+=', word), words)) for words in out if words]


@functools.cache
def flags_of(*command: str) -> set[str]:
  """The flags that a command's --help names."""
  done = subprocess.run([sys.executable, *command, '--help'], cwd=ROOT, capture_output=True, text=True,
                        env={**os.environ, 'PYTHONPATH': str(ROOT)})
  return set(re.findall(r'--(?:\[no\])?([a-zA-Z][\w-]*)', done.stdout + done.stderr))


@functools.cache
def config_of(name: str):
  path, _, arg = configs.find(name).partition(':')
  return configs.module(path).get_config(*[arg][:bool(arg)])


def check_config(name: str, keys: list[str]) -> None:
  if re.fullmatch(r'(experiments/)?[A-Z.:]+|[\w/]+\.py:[A-Z]+', name) or name == '...':
    name = 'r1_zero:tiny'  # a name to be filled in
  config = config_of(name)
  for key in keys:
    at = config
    for part in key.split('.'):
      assert part in at, f'{name} has no {key}'
      at = at[part]


def check(words: list[str]) -> None:
  """Raises where a command of the project's own has a part that does not exist."""
  if any(' '.join(words).startswith(known) for known in OUTSIDE):
    return
  if words[:2] == ['pip', 'install']:
    named = re.search(r'\[(.*)\]', ' '.join(words))
    extras = set(re.findall(r"^ +'([\w-]+)': ", (ROOT / 'setup.py').read_text(), re.MULTILINE))
    assert '-e' in words and (not named or set(named[1].split(',')) <= extras), words
    return
  if words[0] == 'bash':
    assert (ROOT / words[1]).exists(), words
    given = [w[2:].partition('=')[0] for w in words[2:] if w.startswith('--')]
    text = (ROOT / words[1]).read_text() + (ROOT / 'experiments/launch/host.sh').read_text()
    assert not [flag for flag in given if f'--{flag}' not in text and not flag.startswith('config.')], words
    return
  if words[0] == 'r1jax':
    assert words[1] in cli.COMMANDS or words[1].startswith('-'), words
    if words[1] == 'configs' or words[1].startswith('-'):
      return
    module, takes_config, _ = cli.COMMANDS[words[1]]
    rest = words[2:]
    if takes_config and rest and not rest[0].startswith('-'):
      rest = [f'--config={rest[0]}', *rest[1:]]
    command, words = ['-m', f'r1jax.{module}'], rest
  else:
    assert words[0] == 'python', words
    n = 3 if words[1] == '-m' else 2
    assert n == 3 or (ROOT / words[1]).exists(), words
    command, words = words[1:n], words[n:]
  if words and not words[0].startswith('-') and command[-1] == 'r1jax.convert':
    command, words = [*command, words[0]], words[1:]
  given = [w[2:].partition('=') for w in words if w.startswith('--')]
  for name, _, value in given:
    if name == 'config':
      keys = [key.removeprefix('config.') for key, _, _ in given if key.startswith('config.')]
      check_config(value, keys)
    assert name.startswith('config.') or name in flags_of(*command), f'{command}: no --{name}'


@of_page
def test_commands_exist(page):
  for words in commands(page):
    check(words)


@pytest.mark.parametrize('line', ['r1jax trian r1_zero:tiny', 'r1jax train r1_zero:tinny --workdir=a',
                                  'python -m r1jax.evaluate --chekpoint=a', 'bash experiments/launch/none.sh',
                                  'r1jax train r1_zero:tiny --config.rl.stps=3', "pip install -e '.[tst]'"])
def test_a_command_that_does_not_exist_is_seen(line):
  with pytest.raises((AssertionError, UserError, ValueError)):
    check(shlex.split(line))


def test_the_page_of_the_library_names_what_there_is():
  from r1jax import api, frames, launch
  text = (ROOT / 'docs/python.md').read_text()
  of = {'r1jax': r1jax, 'model': api.Model, 'run': launch.Run, 'tables': frames.Tables, 'sample': api.Sample,
        'group': api.Group}
  found = set(re.findall(rf'\b({"|".join(of)})\.(\w+)', text)) - {('r1jax', 'md')}
  fields = lambda kind: {*dir(kind), *getattr(kind, '__dataclass_fields__', ())}
  missing = sorted(f'{name}.{attribute}' for name, attribute in found if attribute not in fields(of[name]))
  assert len(found) > 15 and not missing, missing
  for name in r1jax._LAZY:
    assert name in ('Model', 'Run', 'Tables') or f'r1jax.{name}' in text, name
