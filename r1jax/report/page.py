"""The parts of the HTML pages: no network, small scripts for values and filters, light and dark, phone and laptop.

Everything that came from a model, a data set or a file name passes `escape` before it stands in a page.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

CSS = '''
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #ffffff; --ink: #22262d; --faint: #667080;
  --line: #e3e6ea; --accent: #2563b8; --right: #23795a; --wrong: #b2452f; --quote: #f3f5f8; %LIGHT% }
@media (prefers-color-scheme: dark) { :root { --paper: #101215; --card: #181b20; --ink: #dde1e7; --faint: #98a2b0;
  --line: #2a2f37; --accent: #7fb2f7; --right: #63c9a1; --wrong: #f08d74; --quote: #1f2329; %DARK% } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55; -webkit-text-size-adjust: 100%;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans",
  sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3rem 0 .9rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 0 0 .6rem; }
p { margin: 0 0 .8rem; max-width: 44rem; }
a { color: var(--accent); text-underline-offset: .15em; }
.faint, .lead { color: var(--faint); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  font-size: .84em; }
code { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .9rem; margin: 1.6rem 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .85rem 1rem; }
.tile b { display: block; white-space: nowrap; font-size: 1.35rem; font-weight: 620; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: .84rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 1.1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.1rem 1.1rem .9rem;
  min-width: 0; display: flex; flex-direction: column; }
svg.chart { width: 100%; height: auto; display: block; touch-action: pan-y; } svg text { font-size: 12.5px;
  fill: var(--faint); }
.grid { stroke: var(--line); } .cursor { stroke: var(--faint); stroke-dasharray: 3 3; visibility: hidden; }
.l { fill: none; stroke-width: 1.9; stroke-linejoin: round; } .thin { stroke-width: .7; opacity: .3; }
.band { opacity: .18; } .goal { fill: var(--card); stroke: var(--ink); stroke-width: 1.4; } .panel { position: relative; } .panel .title { font-size: .84rem; color: var(--faint); }
.legend { display: flex; flex-wrap: wrap; gap: 0 .9rem; font-size: .8rem; } .legend i { display: inline-block;
  width: 1.3rem;
  border-top: 2.5px solid; vertical-align: .22em; margin-right: .35rem; } .legend i.d1 { border-top-style: dashed; }
  .legend i.d2, .legend i.d3 { border-top-style: dotted; }
path.d1 { stroke-dasharray: 7 4; } path.d2 { stroke-dasharray: 2 3; } path.d3 { stroke-dasharray: 8 3 2 3; }
.tip { position: absolute; top: 1.6rem; pointer-events: none; background: var(--paper);
  border: 1px solid var(--line); border-radius: 8px;
  padding: .3rem .55rem; font-size: .78rem; z-index: 2; white-space: nowrap; font-variant-numeric: tabular-nums; }
button.csv { display: block; font: inherit; font-size: .8rem; color: var(--accent); background: none;
  border: 0; padding: 0;
  cursor: pointer; text-align: left; margin-top: .4rem; }
svg.pipeline { display: block; margin: 0 auto; width: 100%; height: auto;
  max-height: 34rem; } .stage rect { fill: var(--card); stroke: var(--line);
  stroke-width: 1.2; } .stage text { fill: var(--ink); font-size: 12px; }
.stage.running rect { stroke: var(--accent); stroke-width: 2.5; } .stage.waiting { opacity: .55; }
  .stage.waiting rect { stroke-dasharray: 4 3; }
.stage.stopped rect { stroke: var(--wrong); stroke-width: 2.5; } .stage .state { fill: var(--faint);
  font-size: 10.5px; } .wire { fill: none; stroke: var(--faint); stroke-width: 1.1; opacity: .6; }
.facts-of-run { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .9rem;
  margin: .8rem 0 0; } .facts-of-run dt { color: var(--faint); }
.facts-of-run dd { margin: 0; overflow-wrap: anywhere; } .toc { font-size: .9rem; line-height: 1.9;
  margin: 1rem 0 .8rem; max-width: none; }
.toc a { margin-right: 1rem; white-space: nowrap; } .scroll + .scroll, dl + .scroll { margin-top: 1rem; }
  .answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 1.1rem; }
  .answers .sample { min-width: 0; }
.diagnostics > .figures { margin-top: 1rem; }
figcaption { font-size: .9rem; margin-top: .7rem; }
figcaption code { display: block; white-space: nowrap; overflow-x: auto; }
figcaption small { display: block; color: var(--faint); font-size: .8rem; margin-top: .3rem; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .6rem .95rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--faint); font-weight: 500; font-size: .84rem; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
tr.strong td { font-weight: 620; }
.tight .wrap { text-align: left; }
@media (min-width: 900px) { .tight td.wrap { white-space: normal; min-width: 8.5rem; } }
.of { margin: 1.2rem 0 .4rem; font-weight: 550; }
.tight table { font-size: .86rem; } .tight th, .tight td { padding: .45rem .55rem; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .7rem 1rem;
  margin: .7rem 0; }
summary { cursor: pointer; font-weight: 550; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .6rem 0 0; }
.warning { border-left: 3px solid var(--wrong); background: var(--card); padding: .7rem 1rem;
  border-radius: 0 8px 8px 0; margin: 1rem 0; max-width: none; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .7rem 1.1rem; align-items: center; position: sticky; top: 0; z-index: 1;
  margin: 1.2rem 0;
  padding: .75rem 0; background: var(--paper); border-bottom: 1px solid var(--line); }
nav label { color: var(--faint); font-size: .9rem; display: flex; gap: .5rem; align-items: center; min-width: 0; }
.prefill { color: var(--faint); border-bottom: 1px dotted var(--faint); } .two { display: grid;
  grid-template-columns: 1fr 1fr; gap: 1.2rem; } .two > div { min-width: 0; }
.two h4 { margin: 1rem 0 0; font-size: .9rem; } nav input { font: inherit; color: var(--ink);
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .35rem .5rem; }
nav input[type=number] { width: 5.2rem; } #more { font: inherit; padding: .5rem 1rem; border-radius: 8px;
  border: 1px solid var(--line); background: var(--card); color: var(--accent); }
select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .35rem .5rem; max-width: 100%; min-width: 0; }
.question { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem;
  margin: 0 0 1.1rem; }
.question > pre { background: none; color: var(--faint); margin: .2rem 0 0; max-height: 14rem; overflow: auto; }
.sample { border-top: 1px solid var(--line); margin-top: 1rem; padding-top: .9rem; }
.sample pre { background: var(--quote); border-radius: 8px; padding: .8rem .9rem; max-height: 30rem; overflow: auto;
  line-height: 1.5; unicode-bidi: isolate; }
.facts { display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: .87rem; color: var(--faint);
  font-variant-numeric: tabular-nums; }
.facts b { font-weight: 620; } .right { color: var(--right); } .wrong { color: var(--wrong); }
  .tag { color: var(--accent); }
[hidden] { display: none !important; }
@media (max-width: 520px) { nav { position: static; }
  #verdict, #finish, #task, #model { width: 6.3rem; } .two { grid-template-columns: 1fr; }
  main { padding: 1.5rem .8rem 3rem; } h1 { font-size: 1.5rem; } .tiles { grid-template-columns: 1fr 1fr;
  gap: .6rem; }
  .tile b { font-size: 1.1rem; } figure { padding: .8rem .7rem; } th, td { padding: .5rem .65rem; } }
'''

# Control characters would vanish or upset the page: shown by their symbols. Bidirectional overrides could
# make a completion read otherwise than it is.
_INVISIBLE = {**{code: 0x2400 + code for code in range(32) if chr(code) not in '\n\t'}, 127: 0x2421,
              **{code: 0xFFFD for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))}}


def visible(text: Any) -> str:
  """Control characters by their symbols, bidirectional overrides and lone surrogates by a replacement."""
  return str(text).translate(_INVISIBLE)


def escape(text: Any) -> str:
  return html.escape(visible(text))


def completion(text: str) -> str:
  """Escaped model text with its <think> and <answer> tags in colour."""
  return re.sub(r'&lt;/?(?:think|answer)&gt;|&lt;\|\w+\|&gt;', r'<span class="tag">\g<0></span>', escape(text))


def page(title: str, body: Iterable[str], script: str = '', *, colours: tuple[Sequence[str], Sequence[str]] = ((), ()),
         reload: int = 0, style: str = '') -> str:
  """style: rules of this page alone; colours: of lines, for light and for dark; reload: seconds after which the page reads
  itself again, 0: never."""
  css = CSS + style
  for mark, of in zip(('%LIGHT%', '%DARK%'), colours):
    css = css.replace(mark, ' '.join(f'--c{index}: {colour};' for index, colour in enumerate(of)))
  again = f'<meta http-equiv="refresh" content="{reload}">\n' if reload else ''
  script += KEEP if reload else ''
  tail = f'<script>{script}</script>\n' if script else ''
  return ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
          '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
          f'{again}<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n<main>\n'
          + '\n'.join(body) + f'\n</main>\n{tail}</body>\n</html>\n')


def tiles(items: Sequence[tuple[str, str]]) -> str:
  """Headline numbers: (what, value)."""
  if not items:
    return ''
  return '<div class="tiles">' + ''.join(
      f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for what, value in items) + '</div>'


def figure(name: str, title: str, sentence: str, paper: str, drawn: str, data: str) -> str:
  """One figure with its values, and under it what it shows and what it is in the paper."""
  source = f'<small>Paper: {escape(paper)}.</small>' if paper else ''
  return (f'<figure id="{escape(anchor(name))}">\n<h3>{escape(title)}</h3>\n{drawn}\n'
          f'<script type="application/json" class="data">{data}</script>\n<figcaption>{escape(sentence)}{source}'
          f'<button class="csv" data-name="{escape(name)}.csv">values as CSV</button></figcaption>\n</figure>')


def heading(title: str, level: int = 2) -> str:
  """With an anchor, which `contents` links to."""
  return f'<h{level} id="{escape(anchor(title))}">{escape(title)}</h{level}>'


def anchor(title: str) -> str:
  return re.sub(r'[^\w.-]+', '-', title).strip('-').lower()


def contents(body: Sequence[str]) -> str:
  """Links to the headings of a page."""
  found = re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', '\n'.join(body))
  links = ' '.join(f'<a href="#{name}">{title}</a>' for name, title in found)
  return f'<p class="toc">{links}</p>' if len(found) > 1 else ''


LONG = 60  # characters of a cell that is not kept on one line: it would push others out of sight


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1, strong: Sequence[int] = (),
          *, tight: bool = False, wrap: bool = False) -> str:
  """The first `text_columns` to the left, numbers to the right; rows whose index is in `strong` in bold; with `wrap`
  the last column, of texts, may take several lines."""
  def cell(tag, index, value):
    names = ['text'] * (index < text_columns) or ['wrap'] * (wrap and index == len(header) - 1)
    names += ['long'] * (len(value) > LONG)
    kind = f' class="{" ".join(names)}"' if names else ''
    return f'<{tag}{kind}>{escape(value)}</{tag}>'

  head = ''.join(cell('th', index, value) for index, value in enumerate(header))
  body = ''.join(
      f'<tr{" class=strong" if number in strong else ""}>'
      + ''.join(cell('td', index, value) for index, value in enumerate(row)) + '</tr>\n'
      for number, row in enumerate(rows))
  return (f'<div class="scroll{" tight" if tight else ""}"><table>\n<thead><tr>{head}</tr></thead>\n'
          f'<tbody>\n{body}</tbody></table></div>')


# A page that reads itself again stays where it was, with what was unfolded.
KEEP = '''
const summaries = () => [...document.querySelectorAll('details')].map((of, at) => [of, at + of.firstChild.textContent]);
try {
  const kept = JSON.parse(sessionStorage.getItem(location.pathname) ?? '{}');
  for (const [of, name] of summaries()) if (kept.open?.includes(name)) of.open = true;
  if (kept.at) scrollTo(0, kept.at);
} catch { }  // a browser that keeps nothing for files
addEventListener('pagehide', () => {
  const open = summaries().filter(pair => pair[0].open).map(pair => pair[1]);
  try { sessionStorage.setItem(location.pathname, JSON.stringify({open, at: scrollY})); } catch { }
});
'''


CHARTS = '''
const short = (value, share) => share ? +(100 * value).toPrecision(4) + ' %' : +value.toPrecision(5);
for (const figure of document.querySelectorAll('figure')) {
  const panels = JSON.parse(figure.querySelector('script.data').textContent);
  figure.querySelectorAll('.panel').forEach((place, index) => {
    const svg = place.querySelector('svg'), panel = panels[index], cursor = svg.querySelector('.cursor');
    const tip = place.appendChild(document.createElement('div'));
    tip.className = 'tip'; tip.hidden = true;
    const steps = [...new Set(panel.series.flatMap(of => of.steps))];
    svg.addEventListener('pointermove', event => {
      const frame = svg.getBoundingClientRect(), unit = frame.width / svg.viewBox.baseVal.width;
      const share = ((event.clientX - frame.left) / unit - panel.left) / panel.width;
      const at = panel.first + share * (panel.last - panel.first);
      const step = steps.reduce((best, one) => Math.abs(one - at) < Math.abs(best - at) ? one : best);
      const x = panel.left + panel.width * (step - panel.first) / (panel.last - panel.first);
      cursor.setAttribute('x1', x); cursor.setAttribute('x2', x); cursor.style.visibility = 'visible';
      tip.innerText = ['step ' + step, ...panel.series.map(of => [of.name, of.values[of.steps.indexOf(step)]])
        .filter(pair => pair[1] != null).map(pair => pair[0] + ' ' + short(pair[1], panel.share))].join('\\n');
      tip.hidden = false;
      const right = x * unit > frame.width / 2;
      tip.style.left = right ? '' : x * unit + 10 + 'px';
      tip.style.right = right ? frame.width - x * unit + 10 + 'px' : '';
    });
    svg.addEventListener('pointerleave', () => { tip.hidden = true; cursor.style.visibility = 'hidden'; });
  });
  const button = figure.querySelector('button.csv');
  button.addEventListener('click', () => {
    const columns = panels.flatMap(panel => panel.series.map(of => [
      of.name === panel.title ? of.name : panel.title + ': ' + of.name,
      new Map(of.steps.map((step, i) => [step, of.values[i]]))]));
    const steps = [...new Set(columns.flatMap(pair => [...pair[1].keys()]))].sort((a, b) => a - b);
    const quote = text => '"' + String(text).replaceAll('"', '""') + '"';
    const lines = [['step', ...columns.map(pair => quote(pair[0]))],
      ...steps.map(step => [step, ...columns.map(pair => pair[1].get(step) ?? '')])];
    const link = document.createElement('a');
    const text = lines.map(line => line.join(',') + '\\n').join('');
    link.href = URL.createObjectURL(new Blob([text], {type: 'text/csv'}));
    link.download = button.dataset.name; link.click();
  });
}
for (const link of document.querySelectorAll('.toc a')) link.addEventListener('click', () => {
  document.getElementById(link.getAttribute('href').slice(1))?.closest('details')?.setAttribute('open', '');
});
'''


def folded(title: str, value: Any) -> str:
  text = json.dumps(value, indent=2, ensure_ascii=False)
  return f'<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>'
