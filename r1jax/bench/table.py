"""Rows of a bench as text, and what they are to each other."""

KEYS = ('workload', 'program', 'step_seconds', 'rollout_seconds', 'rollout_tokens_per_second', 'reference_seconds', 'update_seconds',
        'peak_bytes', 'slot_use', 'token_use')
PEERS = ('trl', 'tunix')
_GIB = 1 << 30


def row(workload: str, program: str, **values) -> dict:
  """A row: all of KEYS, None where there is nothing to say, and what else was measured."""
  return {**dict.fromkeys(KEYS), 'workload': workload, 'program': program, **values}


def _by_program(rows: list[dict]) -> dict[str, dict[str, dict]]:
  """Workload -> program -> its row, in their order."""
  out = {}
  for r in rows:
    out.setdefault(r['workload'], {})[r['program']] = r
  return out


def _learning(r: dict) -> float:
  return r['update_seconds'] + r['reference_seconds']


def ratios(rows: list[dict]) -> dict[str, dict[str, float]]:
  """Workload -> name -> ratio.

  Times: of the other over r1jax, so above 1 r1jax is faster; beside peers the other is the better of them in each column.
  Memory: of r1jax over the better peer.
  """
  out = {}
  for name, found in _by_program(rows).items():
    ours, peers, static = found.get('r1jax'), [found[p] for p in PEERS if p in found], found.get('static')
    values = {}
    if ours and peers:
      least = lambda f: min(map(f, peers)) / f(ours)
      values = {'step': least(lambda r: r['step_seconds']), 'rollout': least(lambda r: r['rollout_seconds']),
                'update + reference': least(_learning), 'memory': 1 / least(lambda r: r['peak_bytes'])}
    if ours and static:
      values = {'step': static['step_seconds'] / ours['step_seconds'], 'rollout': static['rollout_seconds'] / ours['rollout_seconds'],
                'update': static['update_seconds'] / ours['update_seconds'],
                'update + reference': _learning(static) / _learning(ours)}
    sizes = sorted((int(p.split()[1]), r['step_seconds']) for p, r in found.items() if p.startswith('decode '))
    if len(sizes) > 1:
      values[f'decode step, {sizes[-1][0]:,} columns over {sizes[0][0]:,}'] = sizes[-1][1] / sizes[0][1]
    if values:
      out[name] = values
  return out


def text(rows: list[dict], where: str) -> str:
  """All of it; where: the machine and the day."""
  lines = [where, f'{"":5}{"":13}{"step s":>9}{"rollout s":>11}{"tokens/s":>10}{"reference s":>13}{"update s":>10}{"both s":>9}'
                  f'{"peak GiB":>10}{"slot use":>10}{"token use":>11}']
  number = lambda x, digits=3: '' if x is None else f'{x:.{digits}f}' if x < 100 else f'{x:,.0f}'
  for r in rows:
    if r['program'] == 'limits':
      continue
    both = None if r['update_seconds'] is None else _learning(r)
    step = r['step_seconds'] if not r['program'].startswith('decode ') else None
    peak = None if r['peak_bytes'] is None else r['peak_bytes'] / _GIB
    if step is not None:
      lines.append(f'{r["workload"]:5}{r["program"]:13}{number(step):>9}{number(r["rollout_seconds"]):>11}'
                   f'{number(r["rollout_tokens_per_second"], 0):>10}{number(r["reference_seconds"]):>13}{number(r["update_seconds"]):>10}'
                   f'{number(both):>9}{number(peak, 2):>10}{number(r["slot_use"], 2):>10}{number(r["token_use"], 2):>11}')
  for r in rows:
    if r['program'].startswith('decode '):
      lines.append(f'{r["workload"]} decode step of {r["decode_rows"]} rows, {r["filled"]} columns filled of '
                   f'{int(r["program"].split()[1]):,} allocated (a cache of {r["columns"]:,}): {1e3 * r["step_seconds"]:.3g} ms')
  for name, found in _by_program(rows).items():
    lines += _reached(name, found)
  against = {name: 'the better peer' if any(p in found for p in PEERS) else 'the static way' if 'static' in found else ''
             for name, found in _by_program(rows).items()}
  for name, values in ratios(rows).items():
    times = ', '.join(f'{key} {value:.2f}' for key, value in values.items())
    lines.append(f'{name} against {against[name]}: {times}' if against[name] else f'{name}: {times}')
  lines += [f'{r["workload"]} {r["program"]}: {r["note"]}' for r in rows if r.get('note')]
  return '\n'.join(lines)


def _reached(name: str, found: dict[str, dict]) -> list[str]:
  """What r1jax reaches of what the machine can do, and what choosing costs."""
  ours, limits, lines = found.get('r1jax'), found.get('limits'), []
  if not limits:
    return lines
  best = {key: max(limits[key].items(), key=lambda x: x[1]) for key in ('update_limit_gflops', 'decode_limit_gflops')}
  if ours:
    share = lambda x, limit: f'{x:.3g} of {limit[1]:.3g} GFLOP/s that its products alone reach ({limit[0]}), {x / limit[1]:.0%}'
    read = limits['memory_gbytes_per_second']['read']
    lines = [f'{name} update: {share(ours["update_gflops"], best["update_limit_gflops"])}',
             f'{name} rollout: {share(ours["rollout_gflops"], best["decode_limit_gflops"])}; reads '
             f'{ours["rollout_gbytes_per_second"]:.3g} of {read:.3g} GB/s']
  else:
    lines = [f'{name} limits: ' + ', '.join(f'{key} {value[1]:.3g} ({value[0]})' for key, value in best.items())]
  return lines + [f'{name} choosing, ms: ' + '; '.join(f'{key} {value:.3g}' for key, value in limits['choose_ms'].items())]
