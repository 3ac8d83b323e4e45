"""samples.html in a headless Chromium, over generated runs: what it shows is worked out again from the files.

`pytest -n 0 -s -m slow tests/browser_test.py` prints what writing the page and looking at it took, of 100,000 samples and
of 4,096 long ones.
"""

import json
import pathlib
import resource
import shutil
import time
import tracemalloc
import urllib.parse

import pytest

from r1jax import report
from r1jax.report import chunks, load, samples

from browsing import CONTRAST, HOSTILE, Browser, evaluated, make, script, trained
import chromium

needs_browser = pytest.mark.skipif(chromium.PATH is None, reason='no chromium or chrome is installed')


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  with chromium.Page(tmp_path_factory.mktemp('chromium')) as found:
    yield found


@pytest.fixture(scope='module', params=[3 << 20, 0], ids=['in the page', 'beside it'])
def browser(request, tmp_path_factory, page):
  path = make(tmp_path_factory.mktemp('runs') / 'run')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(chunks, 'CHUNK', 3000)
    patch.setattr(samples, 'INLINE', request.param)
    samples.write(load.load(path), path / 'report')
  return Browser(page, path / 'report' / 'samples.html'), path


IS = {  # controls -> which of an evaluation's samples they leave
    'right': ({'verdict': '1'}, lambda row, one: one['correct']),
    'wrong': ({'verdict': '0'}, lambda row, one: not one['correct']),
    'cut': ({'finish': 'length'}, lambda row, one: one['finish'] == 'length'),
    'length': ({'least': '10', 'most': '40'}, lambda row, one: 10 <= one['tokens'] <= 40),
    'language': ({'language': 'Chinese'}, lambda row, one: '我们' in one['text']),
    'text': ({'search': 'FROM left'}, lambda row, one: 'from left' in one['text']),
    'question': ({'search': 'is $7'}, lambda row, one: row['id'] == 'q7'),
    'several': ({'verdict': '1', 'language': 'Latin letters', 'search': 'whether'},
                lambda row, one: one['correct'] and 'whether' in one['text'])}


@needs_browser
@pytest.mark.parametrize('kind', IS)
def test_filters_and_search_leave_what_the_file_says(browser, kind):
  (of, path), (controls, keep) = browser, IS[kind]
  wanted = [('3_evaluate/sums', row['id'], i) for row, i, one in evaluated(path) if keep(row, one)]
  right = sum(one['correct'] for row, i, one in evaluated(path) if keep(row, one))
  assert 0 < len(wanted) < 160
  assert of.show(moment='3_evaluate/sums', **controls) == (len(wanted), right)
  assert of.listed() == wanted and not of.page.errors


@needs_browser
def test_steps_and_each_reward_are_filters(browser):
  of, path = browser
  keep = lambda row: row['step'] >= 2 and 0.2 <= row['rewards']['format'] <= 0.8 and row['advantage'] >= 0
  wanted = [(f'2_rl/step {row["step"]}', row['id'], row['sample']) for row in trained(path) if keep(row)]
  of.show(parts=[('format', '0.2', '0.8'), ('advantage', '0', '')], moment='all', step_least='2')
  assert of.listed() == wanted and 0 < len(wanted) < 32


def test_whatever_is_a_number_of_each_sample_is_a_part(tmp_path):
  path = make(tmp_path / 'run', questions=1, n=1, models=('',), steps=1)
  file = path / '3_evaluate' / 'eval' / 'sums' / 'samples.jsonl'
  row = json.loads(file.read_text())
  row['samples'][0] |= {'words': 3, 'f1': 0.25, 'note': 'text', 'flag': True, 'nothing': None}
  file.write_text(json.dumps(row) + '\n')
  tested, trained_ = samples.write(load.load(path), path / 'report')
  assert tested.parts == ['language share', 'words', 'f1'] and tested.rule is None
  assert trained_.parts == ['reward', 'accuracy', 'format', 'advantage']


@needs_browser
@pytest.mark.parametrize('sort, way, key', [
    ('tokens', '-1', lambda row: -row['tokens']), ('tokens', '1', lambda row: row['tokens']),
    ('step', '1', lambda row: row['step']), ('part reward', '-1', lambda row: -row['reward'])])
def test_the_order(browser, sort, way, key):
  of, path = browser
  of.show(moment='all', step_least='1', sort=sort, way=way)
  assert of.listed() == [(f'2_rl/step {row["step"]}', row['id'], row['sample']) for row in sorted(trained(path), key=key)]


@needs_browser
def test_pages_go_through_all_of_them(browser):
  of, path = browser
  of.show(moment='3_evaluate/sums')
  texts, click = [], "by('more').click()"
  for number in range(1, 5):
    of.page.until(f"by('at').value === '{number}' && document.querySelectorAll('article').length === 40")
    texts += of.page.evaluate("[...document.querySelectorAll('article')].map(one => one.querySelector('a').hash)")
    of.page.evaluate(click)
  assert [text.split('|')[1:] for text in texts] == [[row['id'], str(i)] for row, i, _ in evaluated(path)]
  assert of.page.evaluate("by('more').disabled && by('of').textContent") == 'of 4'
  of.page.evaluate("by('at').value = 2; by('at').dispatchEvent(new Event('change'))")
  of.page.until("document.querySelector('article a').hash.endsWith('q5|0')")


@needs_browser
def test_two_models_stand_side_by_side_on_the_questions_where_one_is_better(browser):
  of, path = browser
  count = {}
  for folder in ('sums', 'sums.base'):
    for row, _, one in evaluated(path, folder):
      count.setdefault(row['id'], {}).setdefault(folder, []).append(one['correct'])
  better = [id_ for id_, found in count.items() if sum(found['sums']) > sum(found['sums.base'])]
  assert of.show(moment='3_evaluate/sums', other='3_evaluate/sums.base', differ='better')[0] == 8 * len(better)
  assert list(dict.fromkeys(id_ for _, id_, _ in of.listed())) == better and 0 < len(better) < 20
  left, right = (of.page.evaluate(
      f"[...document.querySelectorAll('.two > div:nth-child({side}) a')].map(one => decodeURIComponent(one.hash))")
                 for side in (1, 2))
  few = [(id_, i) for id_ in better for i in range(8)][:40]
  assert left == [f'#3_evaluate/sums|{id_}|{i}' for id_, i in few]
  assert right == [f'#3_evaluate/sums.base|{id_}|{i}' for id_, i in few]
  shares = of.page.evaluate("[...document.querySelector('.two').querySelectorAll(':scope > div > .facts')].map(one => one.textContent)")
  assert shares == [f'{sum(count[better[0]][folder])} of 8 right' for folder in ('sums', 'sums.base')]


@needs_browser
def test_reasoning_is_folded_and_opens_where_it_was_searched(browser):
  of, _ = browser
  of.show(moment='3_evaluate/sums', sort='tokens')
  assert of.page.evaluate("!document.querySelector('.reasoning').open && document.querySelector('.reasoning').childNodes.length") == 1
  of.page.evaluate("by('unfold').click()")
  of.page.until("document.querySelector('.reasoning').open && document.querySelector('.reasoning pre')")
  of.show(moment='3_evaluate/sums', sort='tokens', search='LOOK again')
  assert of.page.evaluate("document.querySelector('.reasoning').open && document.querySelector('mark').textContent") == 'look again'


@needs_browser
def test_formulas_are_set_and_the_text_is_there_as_it_was_written(browser):
  of, path = browser
  of.show(moment='3_evaluate/sums')
  of.page.until("document.querySelectorAll('article .katex').length >= 40 && document.querySelector('.asked .katex')")
  boxed = of.page.evaluate("document.querySelector('article .formula[title*=boxed] .katex').innerText")
  assert boxed.strip('\n\t\u200b') == evaluated(path)[0][2]['answer']
  of.page.evaluate("by('raw').click()")
  of.page.until("!document.querySelector('.katex')")
  shown = of.page.evaluate("document.querySelector('article pre').textContent")
  assert shown == evaluated(path)[0][2]['text']


@needs_browser
@pytest.mark.parametrize('text, formulas', [
    ('a $x$ and $y_1$ b', ['$x$', '$y_1$']), ('it costs $5 and $6 more', []), ('($5,000) vs ($6,000)', []),
    ('\\(a\\) \\[b\\] $$c$$', ['\\(a\\)', '\\[b\\]', '$$c$$']), ('$ x $', []), ('the $n$th', ['$n$']), ('$\\href{javascript:x}{y}$', []),
    ('$\\includegraphics{x.png}$', []), ('$\\def\\a{\\a\\a}\\a$', []), ('\\$x$', []), ('$\\frac{1}$', []),
    ('so \\boxed{\\frac{1}{2}}.', ['\\boxed{\\frac{1}{2}}']), ('\\boxed{1', []), ('$x$5', []), ('$x', []),
    ('\\begin{align}a&=b\\\\c&=d\\end{align}', ['\\begin{align}a&=b\\\\c&=d\\end{align}'])])
def test_what_is_a_formula(browser, text, formulas):
  page = browser[0].page
  page.evaluate('withKatex().then(() => 1)')
  found = page.evaluate(f"[...block({json.dumps(text)}, '', true).querySelectorAll('.formula[title]')].map(one => one.title)")
  assert found == formulas


@needs_browser
@pytest.mark.parametrize('text, prefill, reasoning', [
    ('<think> a </think> <answer>b</answer>', '', ' a '), ('a </think> b', '', 'a '), ('a', '<think>', 'a'),
    ('a </think> b', '<think>', 'a '), ('no tags', '', None), ('<think> never closed', '', ' never closed'),
    ('<think> quotes </think> itself </think> b', '', ' quotes </think> itself '),
    ('<|thought|>a<|thought|>b', '', 'a'), ('|special_token|a|special_token|b', '', 'a')])
def test_where_the_reasoning_stands(browser, text, prefill, reasoning):
  found = browser[0].page.evaluate(
      f'(span => span && {json.dumps(text)}.slice(...span))(reasoningOf({json.dumps(text)}, {json.dumps(prefill)}))')
  assert found == reasoning


@needs_browser
@pytest.mark.parametrize('inline', [3 << 20, 0], ids=['in the page', 'beside it'])
def test_nothing_that_a_model_or_a_data_set_wrote_is_run_or_breaks_the_page(tmp_path, page, monkeypatch, inline):
  monkeypatch.setattr(samples, 'INLINE', inline)
  path = make(tmp_path / 'run </script> & <b>', questions=1, models=('',))
  place = path / '3_evaluate' / 'eval' / 'sums'
  rows = [{'task': 'sums', 'id': text, 'prompt': text, 'gold': text, 'samples': [
      {'text': text, 'tokens': 3, 'finish': text, 'answer': text, 'correct': True, 'reason': text}]} for text in HOSTILE]
  rows += [{'id': None, 'samples': 'none'}, {'samples': [{'text': 5, 'tokens': 'x', 'correct': 'yes'}, 7]}, {}]
  with open(place / 'samples.jsonl', 'w') as file:
    file.writelines(json.dumps(row) + '\n' for row in rows)
    file.write('{"id": 1, "samples": [{"text": "big", "tokens": 1e999, "value": NaN}]}\n{"torn')
  report.write(path)
  of = Browser(page, path / 'report' / 'samples.html')
  of.show(moment='3_evaluate/sums', sort='tokens')
  page.until(f"document.querySelectorAll('article').length === {len(HOSTILE) + 2}")
  page.evaluate('withKatex().then(() => 1)')
  assert page.evaluate('window.hacked === undefined && !document.querySelector("#list img, #list script, #list [href^=javascript]")')
  assert not page.errors
  by_text = page.evaluate("[...document.querySelectorAll('article')].map(one => one.querySelector('.facts').textContent)")
  assert len([facts for facts in by_text if 'right' in facts]) >= len(HOSTILE)
  page.evaluate("by('raw').checked = true; by('raw').dispatchEvent(new Event('input'))")
  page.until("document.querySelectorAll('article .reasoning').length === 0")
  assert page.evaluate("document.querySelectorAll('article .rest').forEach(one => one.click()), 1")  # of long ones
  shown = page.evaluate("[...document.querySelectorAll('article > pre')].map(one => one.textContent)")
  assert [text for text in HOSTILE if report.page.visible(text) not in shown] == []
  page.open(path / 'report' / 'index.html')
  assert page.evaluate('window.hacked === undefined && !document.querySelector("img, base")') and not page.errors
  page.open(path / 'report' / 'samples.html', '#%E0%A4%A|' + urllib.parse.quote('<img src=x onerror=window.hacked=5>'))
  assert page.evaluate('window.hacked === undefined && !document.querySelector("img")')


@needs_browser
@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
@pytest.mark.parametrize('width', [1400, 390])
def test_nothing_overflows_and_all_of_it_can_be_read(browser, width, dark):
  """No wider than the screen, and 4.5 to 1 between letters and what they stand on (WCAG 2.1, AA)."""
  of, page = browser[0], browser[0].page
  page.look(width, dark=dark)
  try:
    of.show(moment='3_evaluate/sums', other='3_evaluate/sums.base', search='whether', verdict='1')
    page.evaluate("by('filters').open = true; bounded('language share')")
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    low = page.evaluate(CONTRAST)
    assert not low, low
  finally:
    page.look(1400)


@needs_browser
def test_several_runs_have_one_page_of_samples(tmp_path, page, monkeypatch):
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  one, two = make(tmp_path / 'one'), make(tmp_path / 'two', seed=1)
  html = report.compare([one, two])[0].read_text()
  assert 'href="compare_samples.html"' in html
  of = Browser(page, one / 'report' / 'compare_samples.html')
  assert of.show(moment='one: 3_evaluate/sums', other='two: 3_evaluate/sums', verdict='1') == (
      sum(row['correct'] for _, _, row in evaluated(one)),) * 2
  texts = page.evaluate("[...document.querySelectorAll('.two > div:nth-child(2) a')].map(one => decodeURIComponent(one.hash))")
  assert texts and all(text.startswith('#two: 3_evaluate/sums|') for text in texts)
  of.show(moment='all', run='two')
  assert len(of.listed()) == 2 * 160 + 48 and not page.errors
  before = {path: path.stat().st_mtime_ns for path in (one / 'report' / 'compare_samples').glob('*-*.js')}
  report.compare([one, two])
  assert before == {path: path.stat().st_mtime_ns for path in (one / 'report' / 'compare_samples').glob('*-*.js')}


@needs_browser
def test_of_a_run_that_goes_on_the_page_says_that_there_is_more(tmp_path, page):
  path = make(tmp_path / 'run', steps=1)
  samples.write(load.load(path), path / 'report', reload=1)
  of = Browser(page, path / 'report' / 'samples.html')
  of.show(moment='3_evaluate/sums', verdict='1')
  page.evaluate('new Promise(later => setTimeout(later, 1500))')
  assert not page.evaluate("Boolean(by('newer'))")
  step = path / '2_rl' / 'samples' / 'step_00000001.jsonl'
  step.with_name('step_00000002.jsonl').write_text(step.read_text())
  samples.write(load.load(path), path / 'report', reload=1)
  page.until("by('newer')")
  page.evaluate("document.querySelector('#newer a').click()")
  page.until("globalThis.index?.length !== 3 && document.readyState === 'complete' && !by('newer') && listed.length")
  assert page.evaluate('index.length') == 4 and page.evaluate("by('verdict').value") == '1' and not page.errors


@needs_browser
def test_a_page_of_few_samples_can_be_mailed_alone(tmp_path, page):
  path = make(tmp_path / 'run')
  samples.write(load.load(path), path / 'report')
  (tmp_path / 'mailed').mkdir()
  alone = shutil.copy(path / 'report' / 'samples.html', tmp_path / 'mailed' / 'samples.html')
  of = Browser(page, alone)
  of.show(moment='all', sort='step')
  assert len(of.listed()) == 2 * 160 + 48 and page.evaluate("document.querySelectorAll('article .katex').length") >= 40
  assert of.show(moment='all', search='whether')[0] > 100 and not page.errors


@needs_browser
def test_tables_of_many_steps_come_in_one_script(tmp_path, page, monkeypatch):
  monkeypatch.setattr(samples, 'INLINE', 0)
  monkeypatch.setattr(samples, 'PACKED', 4)
  path = make(tmp_path / 'run', steps=10)
  samples.write(load.load(path), path / 'report')
  place = path / 'report' / 'samples'
  packs = {file: file.stat().st_mtime_ns for file in place.glob('tables-*.js')}
  assert len(packs) == 3  # steps 1 to 3, 4 to 7, 8 to 10
  for file in place.glob('2_rl*-rows.js'):  # none of these is asked for
    file.rename(file.with_suffix('.away'))
  of = Browser(page, path / 'report' / 'samples.html')
  of.show(moment='all', step_least='1', sort='step', way='1')
  assert of.listed() == [(f'2_rl/step {row["step"]}', row['id'], row['sample'])
                         for row in sorted(trained(path), key=lambda row: row['step'])]
  for file in place.glob('*.away'):
    file.rename(file.with_suffix('.js'))
  step = path / '2_rl' / 'samples' / 'step_00000010.jsonl'
  step.with_name('step_00000011.jsonl').write_text(step.read_text())
  samples.write(load.load(path), path / 'report')
  now = {file: file.stat().st_mtime_ns for file in place.glob('tables-*.js')}
  assert len(now) == 3 and len(now.items() & packs.items()) == 2 and not page.errors


def test_a_page_of_few_samples_is_one_file_and_katex_comes_once_and_only_for_formulas(tmp_path):
  path = make(tmp_path / 'run')
  samples.write(load.load(path), path / 'report')
  html = (path / 'report' / 'samples.html').read_text()
  assert html.count('KaTeX 0.19.1, katex.org, MIT') == 1 and len(html) < 900_000  # to be mailed
  for file in path.rglob('*.jsonl'):
    file.write_text(file.read_text().replace('$', '').replace('\\\\boxed', ''))
  samples.write(load.load(path), path / 'report')
  html = (path / 'report' / 'samples.html').read_text()
  assert 'KaTeX 0.19.1' not in html and not (path / 'report' / 'samples' / 'katex.js').exists()


@pytest.mark.parametrize('text, name', [
    ('We add.', 'Latin letters'), ('3 + 4 = 7', 'no words'), ('', 'no words'), ('<think> 7 </think> \\boxed{7}', 'no words'),
    ('我们从左到右', 'Chinese'), ('我们 add numbers here now', 'Chinese and Latin letters'), ('これは数です', 'Japanese'),
    ('Мы считаем', 'Cyrillic letters'), ('α + β = γ', 'no words'), ('naïve façade', 'Latin letters'), ('שלום עולם', 'Hebrew letters')])
def test_what_a_text_is_written_in(text, name):
  assert chunks.language(text) == name


def test_long_samples_are_whole_in_chunks_and_what_is_held_is_bounded(tmp_path):
  """48 samples of 400,000 characters: chunks hold one each, the table none of it, the process some of the 19 MB."""
  path = make(tmp_path / 'run', questions=1, n=1, models=('',), steps=0)
  file = path / '3_evaluate' / 'eval' / 'sums' / 'samples.jsonl'
  texts = [f'{number} ' + 'x' * 400_000 + f' end{number}' for number in range(48)]
  with open(file, 'w') as out:
    for first in range(0, 48, 4):
      out.write(json.dumps({'id': f'q{first}', 'prompt': 'Long?', 'samples': [
          {'text': text, 'tokens': 100_000, 'finish': 'length', 'correct': False} for text in texts[first:first + 4]]}) + '\n')
  run = load.load(path)
  tracemalloc.start()
  moment, = samples.write(run, path / 'report')
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert file.stat().st_size > 19e6 and peak < 9e6
  place = path / 'report' / 'samples'
  assert len(moment.chunks) == 48 and (place / moment.rows).stat().st_size < 4000
  found = [one['text'] for name in moment.chunks for piece in script(place / name) for one in piece['samples']]
  assert found == texts and moment.samples == 48 and moment.questions == 12


@needs_browser
def test_without_the_folder_beside_it_the_page_says_what_is_missing(tmp_path, page, monkeypatch):
  monkeypatch.setattr(samples, 'INLINE', 0)
  path = make(tmp_path / 'run', questions=2, models=('',), steps=0)
  samples.write(load.load(path), path / 'report')
  alone = shutil.copy(path / 'report' / 'samples.html', tmp_path / 'samples.html')
  page.open(pathlib.Path(alone))
  page.until("document.querySelector('#list .warning')")
  said = page.evaluate("document.querySelector('#list .warning').textContent")
  assert 'is not beside this page' in said and 'samples/' in said


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize('questions, words', [(1562, 150), (64, 24_000)],
                         ids=['100,000 of 1,000 characters', '4,096 of 128,000 characters'])
def test_many_samples(tmp_path, capsys, questions, words):
  path, count = make(tmp_path / 'run', questions, 64, models=('',), steps=0, words=words), 64 * questions
  begun = time.monotonic()
  samples.write(load.load(path), path / 'report')
  written, held = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  place = path / 'report' / 'samples'
  size = sum(file.stat().st_size for file in place.glob('*.js')) / 1e6
  told = {'writing it': f'{written:.1f} s', 'chunks': f'{size:.0f} MB', 'the process held at most': f'{held:.0f} MB'}
  with chromium.Page(tmp_path / 'profile') as page:
    of = Browser(page, path / 'report' / 'samples.html')
    for what, controls in (('first view', {}), ('a filter', {'verdict': '1', 'least': '100'}),
                           ('longest first', {'sort': 'tokens'}), ('a search in all texts', {'search': 'right.  so'})):
      begun = time.monotonic()
      of.show(moment='3_evaluate/sums', **controls)
      told[what] = f'{time.monotonic() - begun:.2f} s'
      found = of.page.evaluate('listed.length')
      assert found == count or what in ('a filter', 'a search in all texts') and 0 < found < count
    told["the page's scripts keep"] = f'{page.memory() / 1e6:.0f} MB'
    assert not page.errors
  with capsys.disabled():
    print('\n' + '\n'.join(f'{what}: {value}' for what, value in told.items()))
