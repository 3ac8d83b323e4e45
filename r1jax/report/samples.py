"""samples.html: everything that the model wrote, to be searched from a file without a server.

Texts stand in chunks beside the page, what filters and sorts them in tables (chunks.py); the browser loads them as they
are looked at, so that a hundred thousand samples do not choke it. Few of them stand in the page itself, which can be
mailed then. A file of samples that has not changed is not read again. The page's own scripts are files of
r1jax/assets/browser/, and so is KaTeX, which sets formulas; it is there where a text may have one.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from r1jax import metrics
from r1jax.report import browser, chart, chunks, load, page
from r1jax.report.chunks import Moment

INLINE = 3 << 20  # bytes of chunks that stand in the page itself
PACKED = 100  # steps whose tables one script has
FORMAT = 3  # of chunks: others are written anew


def write(run: load.Run, out: pathlib.Path, *, reload: int = 0) -> list[Moment]:
  """Writes samples.html and its chunks, where there is a sample; what there is, newest first.

  reload: seconds after which the page looks whether it was written again, and says so; 0: never.
  """
  return write_of([('', run)], out, 'samples', f'Samples of {run.name}', 'index.html', reload)


def write_of(runs: Sequence[tuple[str, load.Run]], out: pathlib.Path, name: str, title: str, back: str,
             reload: int = 0) -> list[Moment]:
  """out/NAME.html of (name, run), of a single one without a name, its chunks in out/NAME/; back: where it links."""
  place = out / name
  before = load.attempt(runs[0][1], load.json_of, place / 'index.json') or {}
  before = before if isinstance(before, dict) and before.get('format') == FORMAT else {}
  found, index = [], {}
  for label, run in runs:
    for moment in moments(run, label):
      at = moment.path.stat()
      stamp = [at.st_mtime_ns, at.st_size, moment.prefill]
      known = before.get(moment.key)
      if known and known['stamp'] == stamp and all(
          (place / file).exists() for file in (known['rows'], *known['chunks'])):
        for field in chunks.COUNTS:
          setattr(moment, field, known[field])
      else:
        try:
          chunks.write(moment, place, stamp)
        except ValueError as error:
          load.warn(run, error)
          continue
      if moment.samples:
        found.append(moment)
      index[moment.key] = {'stamp': stamp, **{field: getattr(moment, field) for field in chunks.COUNTS}}
  if not found:
    return []
  state = json.dumps({'format': FORMAT, **index}).encode()
  metrics.replace_file(place / 'index.json', state)
  files = [place / file for moment in found for file in (moment.rows, *moment.chunks)]
  whole = sum(path.stat().st_size for path in files) <= INLINE
  packs = {} if whole else _packs(found, place)
  wanted = {file for of in index.values() for file in (of['rows'], *of['chunks'])} | set(packs.values())
  for old in place.glob('*.js'):  # of samples that are gone
    if old.name not in wanted and old.name not in ('katex.js', 'now.js'):
      old.unlink()
  mark = hashlib.blake2b(state, digest_size=8).hexdigest()
  metrics.replace_file(place / 'now.js', f'now({chart.embed(mark)});\n'.encode())
  look = f'watch({chart.embed(mark)}, {reload});' if reload else ''
  written = _page(title, found, packs, place, back, files if whole else [], look)
  metrics.replace_file(out / f'{name}.html', written.encode('utf-8'))
  return found


def moments(run: load.Run, label: str = '') -> list[Moment]:
  """Evaluations, the last stage's first and its last model's first of all; then the steps of training, last first.

  label: the run's name, where there are several.
  """
  directories = [(stage.name, stage.path) for stage in run.stages] or [(run.name, run.path)]
  tested, trained = [], []
  key = f'{label}: ' if label else ''
  for name, directory in reversed(directories):
    for path in sorted(directory.glob('eval/**/samples.jsonl'), key=lambda path: ('.' in path.parent.name, str(path))):
      asked = str(path.parent.relative_to(directory / 'eval'))
      task, _, model = asked.partition('.')
      tested.append(Moment(f'{key}{name}/{asked}', 'evaluation', name, task, model or 'final', 0, path,
                           prefill(run, directory, model), label))
    steps = {metrics.samples_step(path): path for path in (directory / 'samples').glob('step_*.jsonl')}
    for step in sorted((step for step in steps if step is not None), reverse=True):
      trained.append(Moment(f'{key}{name}/step {step}', 'training', name, '', '', step, steps[step], run=label))
  return tested + trained


def prefill(run: load.Run, directory: pathlib.Path, model: str) -> str:
  """What stood before the answers of a model that was made to begin so: it is not among what the model wrote."""
  stage = next((stage for stage in run.stages if stage.path == directory), None)
  config = stage.config if stage and isinstance(stage.config, dict) else run.config
  part = config.get('evaluate') if isinstance(config, dict) else None
  of = part.get('prefill') if isinstance(part, dict) else None
  return str(of.get(model.removesuffix('_worked'), '')) if isinstance(of, dict) and model.endswith('_worked') else ''


def _packs(found: list[Moment], place: pathlib.Path) -> dict[str, str]:
  """Table -> a script that has it with those of the steps around it: a script costs a browser some milliseconds, which
  are seconds where a run has thousands of steps. Only the newest is written again as a run goes on."""
  together: dict[tuple, list[str]] = {}
  for moment in found:
    if moment.kind == 'training':
      together.setdefault((moment.run, moment.stage, moment.step // PACKED), []).append(moment.rows)
  packs = {}
  for names in together.values():
    pack = f'tables-{hashlib.blake2b(json.dumps(names).encode(), digest_size=8).hexdigest()}.js'
    if len(names) > 1 and not (place / pack).exists():
      tables = [(place / name).read_bytes() for name in names]
      metrics.replace_file(place / pack, b''.join(tables) + f'given({chart.embed(pack)}, 0);\n'.encode())
    packs.update(dict.fromkeys(names, pack) if len(names) > 1 else {})
  return packs


def _page(title: str, found: list[Moment], packs: dict[str, str], place: pathlib.Path, back: str,
          inside: list[pathlib.Path], look: str) -> str:
  """inside: scripts that stand in the page itself."""
  fields = ('key', 'kind', 'stage', 'task', 'model', 'step', 'run', *chunks.COUNTS)
  index = [{**{field: getattr(moment, field) for field in fields}, 'pack': packs.get(moment.rows, '')}
           for moment in found]
  formulas = any(moment.formulas for moment in found)
  inline = ''.join(path.read_text(encoding='utf-8') for path in inside)
  if formulas and not inside:  # read when the first formula is to be seen
    metrics.replace_file(place / 'katex.js', browser.katex().encode('utf-8'))
    metrics.replace_file(place / 'katex.LICENSE', browser.asset('katex.LICENSE').encode('utf-8'))
  body = [f'<h1>{page.escape(title)}</h1>',
          f'<p class="lead">What the model wrote, as it wrote it. <a href="{back}">Back to the report</a></p>',
          browser.FORM, f'<script type="application/json" id="index">{chart.embed(index)}</script>']
  scripts = [browser.katex()] if formulas and inside else []
  scripts += [f'const folder = {chart.embed(place.name + "/")};\n', *map(browser.asset, browser.SCRIPTS), inline,
              'start();', look]
  return page.page(title, body, '\n'.join(scripts), style=browser.asset('browser.css'))
