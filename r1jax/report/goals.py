"""What a run was to reach: its recipe.json as a table, and as marks in the figures of the metrics that it names."""

from r1jax.report import load, page, parts


def section(run: load.Run) -> list[str]:
  """The recipe and its thresholds, each with where it stands; [] without a recipe.json."""
  recipe = run.recipe
  if not isinstance(recipe, dict) or not (entries(run) or recipe.get('title')):
    return []
  facts = [(name.capitalize(), recipe[name]) for name in ('title', 'page', 'model', 'data', 'reached', 'missing')
           if recipe.get(name)]
  said = ''.join(f'<dt>{page.escape(name)}</dt><dd>{page.escape(value)}</dd>' for name, value in facts)
  rows = [[entry['metric'], entry['stage'] + (f', {entry["model"]}' if entry.get('model') else ''),
           _shown(entry, entry['least']), str(entry['step'] or 'first'), _standing(run, entry), entry.get('says') or '']
          for entry in entries(run)]
  table = [page.table(['Expected', 'Stage', 'At least', 'By step', 'Reached', 'The source'], rows, 2, wrap=True)]
  return [page.heading('Recipe'), *([f'<dl class="facts-of-run">{said}</dl>'] if facts else []),
          *(table if rows else [])]


def entries(run: load.Run) -> list[dict]:
  """The thresholds of recipe.json that are whole."""
  found = run.recipe.get('expect') if isinstance(run.recipe, dict) else None
  keys = ('stage', 'metric', 'step', 'least', 'state')
  return [entry for entry in found if isinstance(entry, dict) and all(key in entry for key in keys)] if isinstance(
      found, list) else []


def of_stage(run: load.Run, stage: load.Stage) -> dict[str, list[tuple[int, float]]]:
  """{metric: (step, value) of what was expected of it} of a stage's curves."""
  found = {}
  for entry in entries(run):
    if entry['stage'] in (stage.name, stage.name.partition('_')[2]) and not entry.get('model') and entry['step']:
      found.setdefault(entry['metric'], []).append((entry['step'], entry['least']))
  return found


def _standing(run: load.Run, entry: dict) -> str:
  best = '' if entry.get('best') is None else f', {_shown(entry, entry["best"])} at best'
  if entry['state'] != 'open':
    later = best if entry.get('best') != entry.get('value') else ''
    return f'{entry["state"]}, {_shown(entry, entry["value"])} at step {entry["at"]}{later}'
  last = next((stage.last_step for stage in run.stages if stage.name.partition('_')[2] == entry['stage']), None)
  if last is None or not entry['step']:
    return 'open: not measured yet'
  if entry.get('best') is None and last >= entry['step']:
    return f'open: no row has it, by step {last}'
  return f'open: step {last} of {entry["step"]}{best}'


def _shown(entry: dict, value: float) -> str:
  """Shares in per cent, as all tables of the page have them."""
  share = '@' in entry['metric'] or entry['metric'].startswith('accuracy/')
  return parts.percent(value) if share else f'{value:.4g}'
