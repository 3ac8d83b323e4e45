"""What samples.html does in a browser: filters, search, two models side by side, a link to each sample."""

FORM = '''<nav>
<label>From <select id="moment"></select></label>
<label>beside <select id="other"></select></label>
<label>Show <select id="verdict"><option value="">right and wrong</option>
<option value="1">right</option><option value="0">wrong</option></select></label>
<label>end <select id="finish"><option value="">any</option>
<option value="stop">ended by itself</option>
<option value="length">cut at the limit</option></select></label>
<label>tokens <input id="least" type="number" min="0" placeholder="from">
<input id="most" type="number" min="0" placeholder="to"></label>
<label>Search <input id="search" type="search" placeholder="in questions and answers"></label>
</nav>
<p class="faint" id="counts"></p>
<div id="list"></div>
<p><button id="more" hidden>show more</button></p>'''

SCRIPT = r'''
const PAGE = 40;  // samples shown at once
const by = id => document.getElementById(id);
const index = JSON.parse(by('index').textContent);
const chunks = new Map(), waiting = new Map();
let turn = 0, walk = null;

function chunk(name, questions) {
  chunks.set(name, questions);
  waiting.get(name)?.();
}

function load(name) {
  if (chunks.has(name)) return Promise.resolve(chunks.get(name));
  return new Promise((found, failed) => {
    const script = document.createElement('script');
    script.src = 'samples/' + encodeURIComponent(name);
    waiting.set(name, () => { waiting.delete(name); script.remove(); found(chunks.get(name)); drop(); });
    script.onerror = () => failed(new Error('samples/' + name + ' is not beside this page'));
    document.head.append(script);
  });
}

function drop() {  // of many chunks only the newest are kept
  const loaded = [...chunks.keys()];
  if (loaded.length > 40) for (const name of loaded.slice(0, loaded.length - 40)) chunks.delete(name);
}

async function* questions(moment) {
  for (const name of moment.chunks) for (const question of await load(name)) yield question;
}

function node(tag, text, name, ...inside) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

function title(moment) {
  const share = (100 * moment.right / moment.samples).toFixed(1) + ' %';
  const what = moment.kind === 'evaluation' ? moment.model + ' on ' + moment.task : 'step ' + moment.step;
  return what + ', ' + moment.stage + ': ' + share + ' of ' + moment.samples.toLocaleString('en');
}

function coloured(text) {
  const made = node('pre');
  made.dir = 'auto';
  for (const part of text.split(/(<\/?(?:think|answer)>|<\|\w+\|>)/))
    made.append(/^<(\/?(think|answer)|\|\w+\|)>$/.test(part) ? node('span', part, 'tag') : part);
  return made;
}

const short = value => +Number(value).toPrecision(4);

function sample(moment, question, one) {
  const facts = node('div', '', 'facts', node('b', one.right ? 'right' : 'wrong', one.right ? 'right' : 'wrong'));
  if (one.answer) facts.append(node('span', 'said ' + one.answer));
  for (const [name, value] of Object.entries(one.facts)) facts.append(node('span', name + ' ' + short(value)));
  if (one.tokens != null) facts.append(node('span', one.tokens.toLocaleString('en') + ' tokens'));
  const end = {stop: 'ended by itself', length: 'cut at the limit'};
  if (one.finish) facts.append(node('span', end[one.finish] ?? one.finish));
  const link = node('a', '#' + one.i);
  link.href = '#' + [moment.key, question.id, one.i].map(encodeURIComponent).join('|');
  facts.append(link);
  const made = node('article', '', 'sample', facts);
  const why = Object.entries(one.why).map(pair => pair.join(': ')).join(' · ');
  if (why) made.append(node('div', why, 'facts'));
  const text = coloured(one.text);
  if (question.prefill) text.prepend(node('span', question.prefill, 'prefill'));
  made.append(text);
  return made;
}

function card(moment, question, samples, beside) {
  const facts = ['Question ' + question.id, ...(question.gold ? ['answer ' + question.gold] : []),
                 question.right + ' of ' + question.n + ' right'];
  const prompt = node('pre', question.prompt);
  prompt.dir = 'auto';
  const made = node('div', '', 'question', node('h3', facts.join(' · ')), prompt);
  const mine = samples.map(one => sample(moment, question, one));
  if (!beside) made.append(...mine);
  else {
    const other = beside.question, few = other.samples.slice(0, Math.max(samples.length, 4));
    const theirs = few.map(one => sample(beside.moment, other, one));
    made.append(node('div', '', 'two', node('div', '', '', node('h4', title(moment)), ...mine),
      node('div', '', '', node('h4', title(beside.moment)), ...theirs,
        node('div', other.right + ' of ' + other.n + ' right', 'facts'))));
  }
  return made;
}

function wanted() {
  const words = by('search').value.toLowerCase(), verdict = by('verdict').value, finish = by('finish').value;
  const number = (id, missing) => by(id).value === '' ? missing : +by(id).value;
  const least = number('least', -1), most = number('most', Infinity);
  return (question, one) => (verdict === '' || one.right === +verdict) && (!finish || one.finish === finish)
    && (one.tokens ?? 0) >= least && (one.tokens ?? 0) <= most
    && (!words || [question.prompt, question.prefill + one.text, question.id].some(
      text => text.toLowerCase().includes(words)));
}

async function* cards(linked) {
  const other = index[by('other').value], keep = wanted();
  const moments = linked ? [linked.moment] : by('moment').value === 'all' ? index : [index[by('moment').value]];
  for (const moment of moments) {
    const theirs = new Map();
    if (other && !linked) for await (const question of questions(other)) theirs.set(question.id, question);
    for await (const question of questions(moment)) {
      if (linked && question.id !== linked.id) continue;
      if (other && !linked && !theirs.has(question.id)) continue;
      const samples = question.samples.filter(one => linked ? String(one.i) === linked.i : keep(question, one));
      const beside = other && !linked ? {moment: other, question: theirs.get(question.id)} : null;
      if (samples.length) yield [card(moment, question, samples, beside), samples.length];
    }
  }
}

async function more() {
  const mine = turn;
  by('more').hidden = true;
  for (let shown = 0; shown < PAGE;) {
    const next = await walk.next();
    if (mine !== turn) return;
    if (next.done) {
      if (!by('list').children.length) by('list').append(node('p', 'None here.', 'faint'));
      return;
    }
    by('list').append(next.value[0]);
    shown += next.value[1];
  }
  by('more').hidden = false;
}

function show(linked) {
  turn++;
  by('list').replaceChildren();
  const chosen = linked ? [linked.moment] : by('moment').value === 'all' ? index : [index[by('moment').value]];
  const sum = name => chosen.reduce((total, moment) => total + moment[name], 0);
  by('counts').textContent = sum('right').toLocaleString('en') + ' of '
    + sum('samples').toLocaleString('en') + ' samples right, '
    + sum('questions').toLocaleString('en') + ' questions'
    + (linked ? '; one sample is shown: change a filter for the others' : '') + '.';
  walk = cards(linked);
  more().catch(error => by('list').append(node('p', error.message, 'warning')));
}

function follow() {
  const [key, id, i] = location.hash.slice(1).split('|').map(decodeURIComponent);
  const at = index.findIndex(moment => moment.key === key);
  if (at < 0) return show();
  by('moment').value = at;
  show(id === undefined ? undefined : {moment: index[at], id, i});
}

function start() {
  index.forEach((moment, at) => {
    by('moment').append(new Option(title(moment), at));
    by('other').append(new Option(title(moment), at));
  });
  by('moment').append(new Option('everything', 'all'));
  by('other').prepend(new Option('nothing', '', true, true));
  const filters = ['moment', 'other', 'verdict', 'finish', 'least', 'most', 'search'];
  for (const id of filters) by(id).addEventListener('input', () => {
    if (location.hash) history.replaceState(null, '', location.pathname + location.search);
    show();
  });
  by('more').addEventListener('click', more);
  document.addEventListener('keydown', event => {
    const by_ = {ArrowLeft: -1, ArrowRight: 1}[event.key], next = by('moment').selectedIndex + by_;
    if (['SELECT', 'INPUT'].includes(event.target.tagName) || !by_ || next < 0 || next >= index.length) return;
    by('moment').selectedIndex = next;
    show();
  });
  addEventListener('hashchange', follow);
  follow();
}
'''
