"""What samples.html is made of in a browser: its form, and its scripts, which are files of r1jax/assets/browser/.

  store.js    tables and chunks, loaded as they are looked at    text.js   reasoning folded, formulas, words marked
  filters.js  which samples, in which order; links to both       cards.js  questions, samples, two models side by side
"""

import base64
import functools
import json
import pathlib
import re

ASSETS = pathlib.Path(__file__).resolve().parent.parent / 'assets' / 'browser'
SCRIPTS = ('store.js', 'text.js', 'filters.js', 'cards.js')
KATEX_NOTICE = '/* KaTeX 0.19.1, katex.org, MIT License, copyright 2013-2020 Khan Academy and other contributors */\n'
FONT = re.compile(r'src:url\(fonts/(\w+-\w+\.woff2)\) format\("woff2"\)[^}]*')  # in KaTeX's style sheet


@functools.cache
def asset(name: str) -> str:
  return (ASSETS / name).read_text(encoding='utf-8')


@functools.cache
def katex() -> str:
  """KaTeX as one script: its code, and its style sheet with the fonts inside, so that nothing else is asked for."""
  def inside(match):
    data = base64.b64encode((ASSETS / match[1]).read_bytes()).decode('ascii')
    return f'src:url(data:font/woff2;base64,{data}) format("woff2")'

  style = json.dumps(FONT.sub(inside, asset('katex.min.css')))
  return (f'{KATEX_NOTICE}{asset("katex.min.js")}\n(style => {{ style.textContent = {style}; '
          "document.head.append(style); })(document.createElement('style'));\n")


FORM = '''<nav>
<div class="bar">
<label class="wide">From <select id="moment"></select></label>
<label class="wide">beside <select id="other"></select></label>
<label class="wide">Search <input id="search" type="search" placeholder="in questions and answers"></label>
</div>
<details id="filters"><summary>Filters and order <b id="active"></b></summary>
<div class="bar">
<label>Run <select id="run"></select></label>
<label>Task <select id="task"></select></label>
<label>Model <select id="model"></select></label>
<label id="steps">step <input id="step_least" type="number" min="0" placeholder="from" aria-label="step from">
<input id="step_most" type="number" min="0" placeholder="to" aria-label="step to"></label>
<label>Show <select id="verdict"><option value="">right and wrong</option>
<option value="1">right</option><option value="0">wrong</option>
<option value="none">neither</option></select></label>
<label>end <select id="finish"></select></label>
<label>written in <select id="language"></select></label>
<label>tokens <input id="least" type="number" min="0" placeholder="from" aria-label="tokens from">
<input id="most" type="number" min="0" placeholder="to" aria-label="tokens to"></label>
<label id="apart">beside it <select id="differ"><option value="">any question</option>
<option value="better">where the left is right more often</option>
<option value="worse">where the right is right more often</option>
<option value="apart">where they differ</option></select></label>
</div>
<div class="bar" id="parts"></div>
<div class="bar">
<label>by a reward <select id="part"></select></label>
<label>Order <select id="sort"></select></label>
<label id="ways"><select id="way" aria-label="direction"><option value="-1">highest first</option>
<option value="1">lowest first</option></select></label>
<label><input id="unfold" type="checkbox"> reasoning unfolded</label>
<label><input id="raw" type="checkbox"> as written, formulas not set</label>
<button id="clear" type="button">clear all</button>
</div></details>
</nav>
<p class="faint"><span id="counts"></span> <b id="matches"></b></p>
<div id="list"></div>
<p id="pager" hidden><button id="back" type="button">previous</button>
<label>page <input id="at" type="number" min="1" value="1"></label> <span id="of"></span>
<button id="more" type="button">next</button></p>'''
