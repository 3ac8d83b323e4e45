// Questions with their samples, two models side by side, page by page.
'use strict';
const PAGE = 40;  // samples shown at once
const BESIDE = 4;  // of the other model at least, where it has them
let turn = 0, listed = [], page_now = 1;

const END = {stop: 'ended by itself', length: 'cut at the limit'};
const cut = (text, most) => text.length > most ? text.slice(0, most) + ' …' : text;

function shared(moment, id) {
  const [right, judged] = shareOf(moment, id);
  return judged ? right + ' of ' + judged + ' right' : (questionsOf(moment).get(id) ?? []).length + ' answers';
}

function sample(moment, row, one, words) {
  const of = moment.table, facts = node('div', '', 'facts'), right = of.right[row];
  if (right != null) facts.append(node('b', right ? 'right' : 'wrong', right ? 'right' : 'wrong'));
  if (one.answer) facts.append(node('span', 'said ', '', answer(one.answer, 120)));
  for (const [name, values] of of.part)
    if (values?.[row] != null) facts.append(node('span', '', '', node('bdi', name), ' ' + short(values[row])));
  if (of.tokens[row] != null) facts.append(node('span', said(of.tokens[row]) + ' tokens'));
  const finish = moment.finishes[of.finish[row]], language = moment.languages[of.language[row]];
  if (finish) facts.append(node('span', END[finish] ?? cut(finish, 60)));
  if (moment.languages.length > 1) facts.append(node('span', language));
  const link = node('a', '#' + of.i[row]);
  link.href = '#' + [moment.key, of.questions.id[of.question[row]], of.i[row]].map(encodeURIComponent).join('|');
  facts.append(link);
  const made = node('article', '', 'sample', facts);
  if (one.why.length) made.append(node('div', cut(one.why.map(pair => pair.join(': ')).join(' · '), 600), 'facts'));
  made.append(...written(one, words));
  return made;
}

async function card(moment, rows, other, words) {
  const of = moment.table, question = of.question[rows[0]], id = of.questions.id[question];
  const gold = of.questions.gold[question], texts = await Promise.all(rows.map(row => textOf(moment, row)));
  const head = node('h3', 'Question ', '', node('bdi', cut(id, 200)),
    ...(gold ? [' · answer ', answer(gold, 300)] : []), ' · ' + shared(moment, id));
  const asked = block(texts[0].prompt, words, !by('raw').checked);
  asked.className = 'asked';
  const made = node('div', '', 'question', head,
    ...(by('moment').value === 'all' && !other ? [node('p', title(moment), 'faint')] : []), asked);
  const mine = rows.map((row, at) => sample(moment, row, texts[at], words));
  if (!other) {
    made.append(...mine);
    return made;
  }
  await table(other);
  const all = questionsOf(other).get(id) ?? [], few = all.slice(0, Math.max(rows.length, BESIDE));
  const answers = await Promise.all(few.map(row => textOf(other, row)));
  const theirs = few.map((row, at) => sample(other, row, answers[at], words));
  if (answers.length && answers[0].prompt !== texts[0].prompt)  // one id, two texts: it must not look like one
    theirs.unshift(node('p', 'Asked in these words:', 'faint'), node('pre', answers[0].prompt, 'asked'));
  made.append(node('div', '', 'two',
    node('div', '', '', node('h4', title(moment)), node('div', shared(moment, id), 'facts'), ...mine),
    node('div', '', '', node('h4', title(other)), node('div', shared(other, id)
      + (few.length < all.length ? '; the first ' + few.length : ''), 'facts'), ...theirs)));
  return made;
}

async function turn_to(page) {  // shows one page of what is listed
  const mine = turn, last = Math.max(1, Math.ceil(listed.length / PAGE));
  page_now = Math.min(Math.max(1, Math.floor(page) || 1), last);
  const shown = listed.slice((page_now - 1) * PAGE, page_now * PAGE), words = by('search').value.toLowerCase();
  const groups = [];  // neighbours of one question share a card
  for (const [moment, row] of shown) {
    const group = groups.at(-1), question = moment.table.question[row];
    if (group && group.moment === moment && moment.table.question[group.rows[0]] === question) group.rows.push(row);
    else groups.push({moment, rows: [row]});
  }
  const cards = [];
  for (const {moment, rows} of groups) {
    cards.push(await card(moment, rows, linked_now ? null : beside(), words));
    if (mine !== turn) return;
  }
  by('list').replaceChildren(...cards);
  by('pager').hidden = last < 2;
  by('at').value = page_now;
  by('at').max = last;
  by('of').textContent = 'of ' + said(last);
  by('back').disabled = page_now < 2;
  by('more').disabled = page_now >= last;
}

function counted(found, all) {
  let judged = 0, right = 0;
  for (const [moment, row] of found) {
    judged += moment.table.right[row] != null;
    right += moment.table.right[row] ?? 0;
  }
  return said(found.length) + ' of ' + said(all) + ' samples match'
    + (judged ? ', ' + said(right) + ' of these right.' : '.');
}

let linked_now = null;

async function show(linked) {
  const mine = ++turn, moments = chosen(linked);
  const sum = name => moments.reduce((total, moment) => total + moment[name], 0);
  linked_now = linked ?? null;
  by('list').replaceChildren();
  by('pager').hidden = true;
  by('apart').hidden = by('other').value === '';
  by('ways').hidden = by('sort').value === '';
  const narrowed = [...NARROW, ...MOMENTS].filter(id => id !== 'search' && by(id).value !== '').length + parts.size;
  by('active').textContent = narrowed ? '· ' + narrowed + ' set' : '';
  const open = sum('samples') - sum('judged'), counts = [said(sum('questions')) + ' questions'];
  if (open) counts.unshift(said(open) + ' samples neither right nor wrong');
  if (sum('judged')) counts.unshift(said(sum('right')) + ' of ' + said(sum('judged')) + ' samples right');
  by('counts').textContent = counts.join(', ') + (linked ? '; one is shown: change a filter for the others' : '') + '.';
  const state = text => { by('matches').textContent = text; };
  state('');
  try {
    const other = linked ? null : beside(), all = sum('samples');
    const words = linked ? '' : by('search').value.toLowerCase();
    if (other) await table(other);
    await tables(moments, (done, of) => mine === turn && done < of
      && state('reading the tables, ' + done + ' of ' + of));
    if (mine !== turn) return;
    let found = moments.flatMap(moment => fitting(moment, linked).map(row => [moment, row]));
    if (words) {
      const hits = await searched(found, words, (some, seen) => {
        if (mine !== turn) return false;
        state(said(some.size) + ' match so far, ' + said(seen) + ' of ' + said(found.length) + ' looked through.');
        if (!by('list').children.length && some.size >= PAGE && !by('sort').value) {  // the first need not wait
          listed = [...some].slice(0, PAGE);
          turn_to(1).catch(() => {});
        }
        return true;
      });
      if (!hits || mine !== turn) return;
      found = found.filter(pair => hits.has(pair));
    }
    listed = linked ? found : sorted(found);
    const narrow = !linked && (other || parts.size || NARROW.some(id => by(id).value !== ''));
    state(narrow ? counted(found, all) : '');
    await turn_to(1);
    if (mine === turn && !found.length) by('list').append(
      node('p', 'None here' + (other ? ' of a question that both were asked.' : '.'), 'faint'));
  } catch (error) {
    if (mine === turn) by('list').append(node('p', error.message, 'warning'));
  }
}

function follow() {  // what the address says
  by('gone')?.remove();
  const said_ = location.hash.slice(1), missing = [];
  let linked;
  if (said_.startsWith('?')) missing.push(...read_from_address(said_.slice(1)));
  else if (said_) {
    let names = [''];
    try { names = said_.split('|').map(decodeURIComponent); } catch { }
    const [key, id, i] = names, at = index.findIndex(moment => moment.key === key);
    if (at < 0) missing.push(key);
    else {
      by('moment').value = at;
      if (id !== undefined) linked = {moment: index[at], id, i};
    }
  }
  show(linked);
  if (missing.length) {
    const made = node('p', 'The link is to samples that are not here: ' + missing.join(', '), 'warning');
    made.id = 'gone';
    by('list').before(made);
  }
}

let typed = 0;

function changed() {
  written_in_address();
  by('gone')?.remove();
  show();
}

function start() {
  inline = new Set(chunks.keys());
  fill_form();
  for (const id of PLAIN) by(id).addEventListener('input', () => {
    if (MOMENTS.includes(id)) by('moment').value = 'all';
    if (id === 'moment') for (const other of MOMENTS) by(other).value = '';
    clearTimeout(typed);
    if (id === 'search') typed = setTimeout(changed, 250); else changed();
  });
  for (const id of ['unfold', 'raw']) by(id).addEventListener('input', () => turn_to(page_now));
  by('clear').addEventListener('click', () => { clear(); changed(); });
  const to = page => turn_to(page).then(() => by('counts').scrollIntoView());
  by('more').addEventListener('click', () => to(page_now + 1));
  by('back').addEventListener('click', () => to(page_now - 1));
  by('at').addEventListener('change', () => to(+by('at').value));
  document.addEventListener('keydown', event => {
    const way = {ArrowLeft: -1, ArrowRight: 1}[event.key], next = by('moment').selectedIndex + way;
    if (['SELECT', 'INPUT'].includes(event.target.tagName) || !way || next < 0 || next >= index.length) return;
    by('moment').selectedIndex = next;
    changed();
  });
  addEventListener('hashchange', follow);
  follow();
}

// While a run goes on the page looks whether it was written again. It does not read itself again: one reads in it.
let mark_now = null;

function now(mark) {  // samples/now.js calls this
  if (mark === mark_now || by('newer')) return;
  const again = node('a', 'read the page again');
  again.href = '';
  again.addEventListener('click', event => { event.preventDefault(); location.reload(); });
  const made = node('p', 'The run has written more: ', 'newer', again);
  made.id = 'newer';
  by('list').before(made);
}

function watch(mark, seconds) {
  mark_now = mark;
  setInterval(() => {
    const script = document.createElement('script');
    script.src = folder + 'now.js?' + Date.now();
    script.onload = script.onerror = () => script.remove();
    document.head.append(script);
  }, 1000 * seconds);
}
