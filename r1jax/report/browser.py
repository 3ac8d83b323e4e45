"""What samples.html does in a browser: filters, search, two models side by side, a link to each sample."""

FORM = '''<nav>
<label>From <select id="moment"></select></label>
<label>beside <select id="other"></select></label>
<label>Task <select id="task"></select></label>
<label>Model <select id="model"></select></label>
<label>Show <select id="verdict"><option value="">right and wrong</option>
<option value="1">right</option><option value="0">wrong</option></select></label>
<label>end <select id="finish"><option value="">any</option>
<option value="stop">ended by itself</option>
<option value="length">cut at the limit</option></select></label>
<label>tokens <input id="least" type="number" min="0" placeholder="from">
<input id="most" type="number" min="0" placeholder="to"></label>
<label>Search <input id="search" type="search" placeholder="in questions and answers"></label>
</nav>
<p class="faint"><span id="counts"></span> <b id="matches"></b></p>
<div id="list"></div>
<p><button id="more" hidden>show more</button></p>'''

SCRIPT = r'''
const PAGE = 40;  // samples shown at once
const by = id => document.getElementById(id);
const index = JSON.parse(by('index').textContent);
const chunks = new Map(), waiting = new Map(), coming = new Map();
let turn = 0, walk = null;

function chunk(name, questions) {
  chunks.set(name, questions);
  waiting.get(name)?.();
}

function load(name) {
  if (chunks.has(name)) return Promise.resolve(chunks.get(name));
  if (!coming.has(name)) coming.set(name, new Promise((found, failed) => {  // what lists and what counts share it
    const script = document.createElement('script');
    script.src = 'samples/' + encodeURIComponent(name);
    waiting.set(name, () => found(chunks.get(name)));
    script.onload = script.onerror = () => {
      waiting.delete(name);
      coming.delete(name);
      script.remove();
      failed(new Error('samples/' + name + ' is not beside this page'));  // of one that was found it changes nothing
      drop();
    };
    document.head.append(script);
  }));
  return coming.get(name);
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

const said = number => number.toLocaleString('en');

function title(moment) {
  const what = moment.kind === 'evaluation' ? moment.model + ' on ' + moment.task : 'step ' + moment.step;
  const parts = [];
  if (moment.judged) parts.push((100 * moment.right / moment.judged).toFixed(1) + ' % of ' + said(moment.judged));
  if (moment.rule != null) parts.push('rule ' + short(moment.rule) + ' of ' + said(moment.samples - moment.judged));
  return what + ', ' + moment.stage + ': ' + (parts.join(', ') || said(moment.samples) + ' samples');
}

function share(question) {
  return question.judged ? question.right + ' of ' + question.judged + ' right' : question.n + ' answers';
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
  const facts = node('div', '', 'facts');
  if (one.right != null) facts.append(node('b', one.right ? 'right' : 'wrong', one.right ? 'right' : 'wrong'));
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
  const facts = ['Question ' + question.id, ...(question.gold ? ['answer ' + question.gold] : []), share(question)];
  const prompt = node('pre', question.prompt);
  prompt.dir = 'auto';
  const made = node('div', '', 'question', node('h3', facts.join(' · ')),
    ...(by('moment').value === 'all' ? [node('p', title(moment), 'faint')] : []), prompt);
  const mine = samples.map(one => sample(moment, question, one));
  if (!beside) made.append(...mine);
  else {
    const other = beside.question, few = other.samples.slice(0, Math.max(samples.length, 4));
    const theirs = few.map(one => sample(beside.moment, other, one));
    made.append(node('div', '', 'two', node('div', '', '', node('h4', title(moment)), ...mine),
      node('div', '', '', node('h4', title(beside.moment)), ...theirs,
        node('div', share(other), 'facts'))));
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

function chosen(linked) {
  if (linked) return [linked.moment];
  if (by('moment').value !== 'all') return [index[by('moment').value]];
  const fits = (field, moment) => !by(field).value || moment[field] === by(field).value;
  return index.filter(moment => fits('task', moment) && fits('model', moment));
}

async function* cards(linked) {
  const other = index[by('other').value], keep = wanted();
  for (const moment of chosen(linked)) {
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
      if (!by('list').children.length) by('list').append(
        node('p', 'None here' + (by('other').value ? ' of a question that both were asked.' : '.'), 'faint'));
      return;
    }
    by('list').append(next.value[0]);
    shown += next.value[1];
  }
  by('more').hidden = false;
}

async function count(moments, keep) {  // matches among all samples, whether they are shown or not
  const mine = turn, all = moments.reduce((total, moment) => total + moment.samples, 0);
  let found = 0, judged = 0, right = 0, seen = 0, paused = performance.now();
  for (const moment of moments) for await (const question of questions(moment)) {
    if (mine !== turn) return;
    seen += question.n;
    for (const one of question.samples) if (keep(question, one)) {
      found++;
      judged += one.right != null;
      right += one.right ?? 0;
    }
    if (performance.now() - paused < 50) continue;
    by('matches').textContent = said(found) + ' match so far, ' + said(seen) + ' of ' + said(all) + ' looked through.';
    await new Promise(later => setTimeout(later));
    paused = performance.now();
  }
  if (mine === turn) by('matches').textContent = said(found) + ' of ' + said(all) + ' samples match'
    + (judged ? ', ' + said(right) + ' of these right.' : '.');
}

function show(linked) {
  turn++;
  by('list').replaceChildren();
  const moments = chosen(linked), sum = name => moments.reduce((total, moment) => total + moment[name], 0);
  const parts = [said(sum('questions')) + ' questions'], open = sum('samples') - sum('judged');
  if (open) parts.unshift(said(open) + ' samples neither right nor wrong');
  if (sum('judged')) parts.unshift(said(sum('right')) + ' of ' + said(sum('judged')) + ' samples right');
  by('counts').textContent = parts.join(', ') + (linked ? '; one is shown: change a filter for the others' : '') + '.';
  by('matches').textContent = '';
  const failed = error => by('list').append(node('p', error.message, 'warning'));
  walk = cards(linked);
  more().catch(failed);
  if (!linked && ['verdict', 'finish', 'least', 'most', 'search'].some(id => by(id).value !== ''))
    count(moments, wanted()).catch(() => {});  // the list says why
}

function follow() {
  let parts = [''];
  try { parts = location.hash.slice(1).split('|').map(decodeURIComponent); } catch { }
  const [key, id, i] = parts, at = index.findIndex(moment => moment.key === key);
  if (at >= 0) by('moment').value = at;
  show(at < 0 || id === undefined ? undefined : {moment: index[at], id, i});
  if (location.hash.length > 1 && at < 0)
    by('list').before(node('p', 'The link is to samples that are not here: ' + key, 'warning'));
}

function start() {
  index.forEach((moment, at) => {
    by('moment').append(new Option(title(moment), at));
    by('other').append(new Option(title(moment), at));
  });
  by('moment').append(new Option('everything', 'all'));
  by('other').prepend(new Option('nothing', '', true, true));
  for (const id of ['task', 'model']) {
    const names = [...new Set(index.map(moment => moment[id]).filter(Boolean))];
    by(id).append(new Option('any', ''), ...names.map(name => new Option(name, name)));
    by(id).parentElement.hidden = names.length < 2;
  }
  const filters = ['moment', 'other', 'task', 'model', 'verdict', 'finish', 'least', 'most', 'search'];
  for (const id of filters) by(id).addEventListener('input', () => {
    if (id === 'task' || id === 'model') by('moment').value = 'all';
    if (id === 'moment') by('task').value = by('model').value = '';
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
