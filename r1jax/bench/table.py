"""Rows of a bench as text, and what they are to each other."""

KEYS = ('workload', 'program', 'step_seconds', 'rollout_seconds', 'rollout_tokens_per_second', 'reference_seconds',
        'update_seconds', 'peak_bytes', 'slot_use', 'token_use')
PEERS = ('trl', 'tunix')
_GIB = 1 << 30
_COLUMNS = (  # title, digits, a row's number
    ('step s', 3, lambda r: r['step_seconds']),
    ('rollout s', 3, lambda r: r['rollout_seconds']),
    ('tokens/s', 0, lambda r: r['rollout_tokens_per_second']),
    ('reference s', 3, lambda r: r['reference_seconds']),
    ('update s', 3, lambda r: r['update_seconds']),
    ('both s', 3, lambda r: learning(r)),
    ('peak GiB', 2, lambda r: r['peak_bytes'] / _GIB),
    ('slot use', 2, lambda r: r['slot_use']),
    ('token use', 2, lambda r: r['token_use']))


def row(workload: str, program: str, **values) -> dict:
  """A row: all of KEYS, None where there is nothing to say, and what else was measured."""
  return {**dict.fromkeys(KEYS), 'workload': workload, 'program': program, **values}


def learning(r: dict) -> float:
  """Seconds of an update with the reference's log-probs."""
  return r['update_seconds'] + r['reference_seconds']


def _by_program(rows: list[dict]) -> dict[str, dict[str, dict]]:
  """Workload -> program -> its row, in their order."""
  out = {}
  for r in rows:
    out.setdefault(r['workload'], {})[r['program']] = r
  return out


def _decode_sizes(found: dict[str, dict]) -> list[tuple[int, dict]]:
  """(columns allocated, row) of 'decode COLUMNS', the most first."""
  sizes = [(int(program.split()[1]), r) for program, r in found.items() if program.startswith('decode ')]
  return sorted(sizes, key=lambda x: -x[0])


def ratios(rows: list[dict]) -> dict[str, dict[str, float]]:
  """Workload -> name -> ratio.

  Times: of the others over r1jax, above 1 r1jax is faster. Memory: of r1jax over the others, below 1 it takes less.
  The others are the better peer in each column, or the static way.
  """
  out = {}
  for name, found in _by_program(rows).items():
    ours, values = found.get('r1jax'), {}
    others = [found[program] for program in (*PEERS, 'static') if program in found]
    if ours and others:
      over = lambda f: min(map(f, others)) / f(ours)
      values = {'step': over(lambda r: r['step_seconds']), 'rollout': over(lambda r: r['rollout_seconds']),
                'update': over(lambda r: r['update_seconds']), 'update + reference': over(learning),
                'memory': 1 / over(lambda r: r['peak_bytes'])}
    sizes = _decode_sizes(found)
    if len(sizes) > 1:
      values['decode step'] = sizes[0][1]['step_seconds'] / sizes[-1][1]['step_seconds']
    if values:
      out[name] = values
  return out


def text(rows: list[dict], where: str) -> str:
  """All of it; where: the machine and the day."""
  lines = [where, ' ' * 17 + ''.join(f'{title:>13}' for title, _, _ in _COLUMNS)]
  for r in rows:
    if r['rollout_seconds'] is not None:
      cells = (_cell(r, digits, value) for _, digits, value in _COLUMNS)
      lines.append(f'{r["workload"]:6}{r["program"]:11}' + ''.join(f'{cell:>13}' for cell in cells))
  every = ratios(rows)
  for name, found in _by_program(rows).items():
    other = 'the better peer' if any(p in found for p in PEERS) else 'the static way'
    values = [f'{key} {value:.2f}' for key, value in every.get(name, {}).items() if key != 'decode step']
    lines += [f'{name} against {other}: ' + ', '.join(values)] if values else []
    lines += _reached(name, found) + _decode(name, found)
    lines += [f'{name} {program}: {r["note"]}' for program, r in found.items() if r.get('note')]
  return '\n'.join(lines)


def _cell(r: dict, digits: int, value) -> str:
  try:
    return f'{value(r):,.{digits}f}'
  except TypeError:  # None: nobody measured it
    return ''


def _reached(name: str, found: dict[str, dict]) -> list[str]:
  """What r1jax reaches of what the machine can do, and what choosing a token costs."""
  ours, limits = found.get('r1jax'), found.get('limits')
  if not limits:
    return []
  lines = []
  for phase, key in (('update', 'update_limit_gflops'), ('rollout', 'decode_limit_gflops')):
    way, limit = max(limits[key].items(), key=lambda x: x[1])
    line = f'{name} {phase}: its products alone {limit:.3g} GFLOP/s ({way})'
    if ours:
      reached = ours[f'{phase}_gflops']
      line += f', r1jax {reached:.3g} ({reached / limit:.0%})'
    if ours and phase == 'rollout':
      read = limits['memory_gbytes_per_second']['read']
      line += f'; memory {read:.3g} GB/s, r1jax {ours["rollout_gbytes_per_second"]:.3g}'
    lines.append(line)
  return lines + [f'{name} choosing, ms: ' + '; '.join(f'{way} {ms:.3g}' for way, ms in limits['choose_ms'].items())]


def _decode(name: str, found: dict[str, dict]) -> list[str]:
  sizes = _decode_sizes(found)
  if not sizes:
    return []
  each = '; '.join(f'{1e3 * r["step_seconds"]:.3g} ms with {columns:,} columns (a cache of {r["columns"]:,})'
                   for columns, r in sizes)
  first, ratio = sizes[0][1], sizes[0][1]['step_seconds'] / sizes[-1][1]['step_seconds']
  return [f'{name} decode step of {first["decode_rows"]} rows that fill {first["filled"]}: {each}; {ratio:.2f}']
