"""The paper's numbers beside a run's: those of the system that its config is, or is the small counterpart of."""

import re
from typing import NamedTuple

from r1jax.benchmarks import paper
from r1jax.report import load, page, parts

FIRST = 'AIME 2024'  # the benchmark of figure 2, shown where a run was asked none of the paper's


class System(NamedTuple):
  name: str  # as the tables have it
  table: str
  size: str  # parameters
  step: str = 'RL'  # between the base and what was measured


_ZERO = System('DeepSeek-R1-Zero', 'table2', '671B')
_STUDENTS = {f'distill_{size.lower()}': System(f'DeepSeek-R1-Distill-{size}', 'table5', size.rpartition('-')[2],
                                               'distillation')
             for size in ('Qwen-1.5B', 'Qwen-7B', 'Qwen-14B', 'Qwen-32B', 'Llama-8B', 'Llama-70B')}
WHOLE = ('r1_zero_deepseek-v3', 'r1_deepseek-v3', 'table6_qwen2.5-32b', *_STUDENTS)  # the others are counterparts
# Of the first that a config's name begins with.
SYSTEMS = {
    'r1_zero': (_ZERO,), 'r1_no_language': (), 'r1_': (System('DeepSeek-R1', 'table4', '671B', 'four stages'),), **{
        name: (system,) for name, system in _STUDENTS.items()},
    'distill_tiny': (_STUDENTS['distill_qwen-1.5b'],),
    'table6': (System('DeepSeek-R1-Zero-Qwen-32B', 'table6', '32B'),
               System('DeepSeek-R1-Distill-Qwen-32B', 'table6', '32B', 'distillation'))}


def scores(system: System) -> dict[tuple[str, str], float]:
  """(benchmark, metric) -> what the paper has; metric: 'pass@1', 'cons@64' or as table 4 calls it."""
  of = paper.load()[system.table]
  if system.table == 'table4':
    at = of['columns'].index(system.name)
    found = {(row['benchmark'], row['metric'].lower()): row['scores'][at] for row in of['rows']}
  else:
    found = {tuple(column.rsplit(' ', 1)): value for column, value in zip(of['columns'], of['rows'][system.name])}
  return {key: value for key, value in found.items() if value is not None}


def beside(run: load.Run, found: list[load.Result]) -> list[str]:
  """A table of the run's tasks and the same numbers of its system in the paper; nothing for configs of one's own."""
  name = run.config.get('name') if isinstance(run.config, dict) else None
  systems = next((of for prefix, of in SYSTEMS.items() if str(name or '').startswith(prefix)), ())
  if not systems or not found:
    return []
  by_task = {}
  for result in found:
    by_task.setdefault(result.task, {})[result.model] = result
  rows = []
  for task, models in by_task.items():
    first, last = models.get('base'), models.get('final') or list(models.values())[-1]
    vote, share = last.votes()
    rows.append(['this run', task, parts.percent(first.scores.get('pass@1') if first and first is not last else None),
                 parts.percent(last.scores.get('pass@1')), parts.percent(share) + (f' ({vote})' if share else '')])
  ours = len(rows)
  plain = lambda text: re.sub(r'[^a-z0-9]', '', text.lower())
  for system in systems:
    of, asked = scores(system), {plain(task) for task in by_task}
    for benchmark in dict.fromkeys(benchmark for benchmark, _ in of):
      if plain(benchmark) in asked or (benchmark == FIRST and not asked & {plain(one) for one, _ in of}):
        rows.append([f'{system.name}, {system.size}', benchmark, _before(system, benchmark),
                     *(_text(of.get((benchmark, metric))) for metric in ('pass@1', 'cons@64'))])
  if len(rows) == ours:
    return []
  rows = [row[:4] + [f'{row[4]} (cons@64)' if at >= ours and row[4] != '–' else row[4]] for at, row in enumerate(rows)]
  where = ', '.join(dict.fromkeys(system.table.replace('table', 'table ') for system in systems))
  figure = ' and figure 2' if _ZERO in systems else ''
  other = [] if name in WHOLE else ['another size of model']
  other += [] if {plain(task) for task in by_task} & {plain(row[1]) for row in rows[ours:]} else ['other questions']
  said = f'{" and ".join(other)}: what to compare is the direction, not the height.'.capitalize() if other else ''
  return [page.heading('Beside the paper', 3),
          page.table(['', 'Asked', 'pass@1 before', f'after {systems[0].step}', 'majority'], rows, 2, tight=True),
          f'<p class="faint" style="margin-top:.7rem">In per cent; the paper\'s from its {where}{figure}. {said}</p>']


def _before(system: System, benchmark: str) -> str:
  """Figure 2 begins at the base's accuracy."""
  return _text(paper.load()['figure2']['start_pass@1']) if system is _ZERO and benchmark == FIRST else '–'


def _text(value: float | None) -> str:
  return '–' if value is None else f'{value:.1f}'
