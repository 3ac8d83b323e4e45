// Which samples, in which order: fields from the tables, words from the texts; the address holds what was chosen.
'use strict';
const PLAIN = ['moment', 'other', 'run', 'task', 'model', 'step_least', 'step_most', 'verdict', 'finish', 'language',
  'least', 'most', 'differ', 'search', 'sort', 'way'];
const NARROW = ['verdict', 'finish', 'language', 'least', 'most', 'differ', 'search'];  // of the samples of a moment
const MOMENTS = ['run', 'task', 'model', 'step_least', 'step_most'];  // of the moments
const parts = new Map();  // reward -> its two inputs
const number = (id, missing) => by(id).value === '' ? missing : +by(id).value;

function title(moment) {
  const what = moment.kind === 'evaluation' ? moment.model + ' on ' + moment.task : 'step ' + moment.step;
  const of = [];
  if (moment.judged) of.push((100 * moment.right / moment.judged).toFixed(1) + ' % of ' + said(moment.judged));
  if (moment.rule != null) of.push('rule ' + short(moment.rule) + ' of ' + said(moment.samples - moment.judged));
  return (moment.run ? moment.run + ': ' : '') + what + ', ' + moment.stage + ': '
    + (of.join(', ') || said(moment.samples) + ' samples');
}

function chosen(linked) {  // moments
  if (linked) return [linked.moment];
  if (by('moment').value !== 'all') return [index[by('moment').value]];
  const least = number('step_least', -Infinity), most = number('step_most', Infinity);
  const steps = least > -Infinity || most < Infinity;
  return index.filter(moment => ['run', 'task', 'model'].every(id => !by(id).value || moment[id] === by(id).value)
    && (!steps || (moment.kind === 'training' && moment.step >= least && moment.step <= most)));
}

function beside() {  // the moment to compare with, if any
  return index[by('other').value];
}

function differs(moment, other, id, way) {
  const [right, judged] = shareOf(moment, id), [theirs, of] = shareOf(other, id);
  if (!judged || !of) return false;
  const by_ = right * of - theirs * judged;
  return way === 'better' ? by_ > 0 : way === 'worse' ? by_ < 0 : by_ !== 0;
}

function fitting(moment, linked) {  // rows of a table whose fields fit; the table is loaded
  const of = moment.table, rows = [];
  if (linked) {
    of.question.forEach((question, row) => {
      if (of.questions.id[question] === linked.id && String(of.i[row]) === linked.i) rows.push(row);
    });
    return rows;
  }
  const verdict = by('verdict').value, least = number('least', -1), most = number('most', Infinity);
  const finish = by('finish').value && moment.finishes.indexOf(by('finish').value);
  const language = by('language').value && moment.languages.indexOf(by('language').value);
  const bounds = [...parts].map(([name, [low, high]]) => [of.part.get(name), low.value === '' ? -Infinity : +low.value,
    high.value === '' ? Infinity : +high.value]);
  const other = beside(), differ = by('differ').value, asked = new Map();
  const both = question => {
    if (!asked.has(question)) {
      const id = of.questions.id[question];
      asked.set(question, questionsOf(other).has(id) && (!differ || differs(moment, other, id, differ)));
    }
    return asked.get(question);
  };
  for (let row = 0; row < of.question.length; row++) {
    if (verdict !== '' && (verdict === 'none' ? of.right[row] != null : of.right[row] !== +verdict)) continue;
    if (finish !== '' && of.finish[row] !== finish) continue;
    if (language !== '' && of.language[row] !== language) continue;
    const tokens = of.tokens[row] ?? 0;
    if (tokens < least || tokens > most) continue;
    if (!bounds.every(([values, low, high]) => values?.[row] != null && values[row] >= low && values[row] <= high))
      continue;
    if (other && !both(of.question[row])) continue;
    rows.push(row);
  }
  return rows;
}

function sorted(found) {  // [moment, row] in the order wanted; what has no such value comes last
  const key = by('sort').value, way = +by('way').value;
  if (!key) return found;
  const value = {
    tokens: (moment, row) => moment.table.tokens[row],
    step: moment => moment.kind === 'training' ? moment.step : null,
    share: (moment, row) => {
      const [right, judged] = shareOf(moment, moment.table.questions.id[moment.table.question[row]]);
      return judged ? right / judged : null;
    },
  }[key] ?? ((moment, row) => moment.table.part.get(key.slice(5))?.[row]);
  const keyed = found.map((pair, at) => [value(...pair) ?? null, at, pair]);
  keyed.sort((a, b) => (a[0] === null) - (b[0] === null) || way * (a[0] - b[0]) || a[1] - b[1]);
  return keyed.map(one => one[2]);
}

async function searched(found, words, tell) {  // those whose question or text has the words, chunk after chunk
  const hits = new Set(), byChunk = new Map();
  for (const pair of found) {
    const name = pair[0].chunks[chunkOf(...pair)];
    if (byChunk.has(name)) byChunk.get(name).push(pair); else byChunk.set(name, [pair]);
  }
  const names = [...byChunk.keys()];
  let seen = 0, paused = performance.now();
  for (const [at, name] of names.entries()) {
    for (const next of names.slice(at + 1, at + 9)) load(next).catch(() => {});  // on their way meanwhile
    for (const pair of byChunk.get(name)) {
      const one = await textOf(...pair), of = pair[0].table;
      const id = of.questions.id[of.question[pair[1]]];
      if ([one.prompt, one.prefill + one.text, id].some(text => text.toLowerCase().includes(words))) hits.add(pair);
      seen++;
    }
    if (performance.now() - paused < 100) continue;
    if (!tell(hits, seen)) return null;  // something else is asked for by now
    await new Promise(later => setTimeout(later));
    paused = performance.now();
  }
  return hits;
}

function written_in_address() {
  const state = new URLSearchParams();
  for (const id of PLAIN) {
    const control = by(id), value = control.value;
    if (id === 'moment') state.set(id, value === 'all' ? 'all' : index[value].key);
    else if (id === 'other' && value !== '') state.set(id, index[value].key);
    else if (value !== (control.dataset.plain ?? '')) state.set(id, value);
  }
  for (const [name, [low, high]] of parts) state.append('part', JSON.stringify([name, low.value, high.value]));
  history.replaceState(null, '', location.pathname + location.search + '#?' + state);
}

function read_from_address(text) {
  const state = new URLSearchParams(text), missing = [];
  clear();
  for (const [id, value] of state) {
    if (id === 'moment' || id === 'other') {
      const at = index.findIndex(moment => moment.key === value);
      if (at >= 0 || value === 'all') by(id).value = at >= 0 ? at : 'all';
      else missing.push(value);
    } else if (id === 'part') {
      try {
        const [name, low, high] = JSON.parse(value);
        if (index.some(moment => moment.parts.includes(name))) bounded(name, low, high);
      } catch { }
    } else if (PLAIN.includes(id)) by(id).value = value;
  }
  return missing;
}

function bounded(name, low = '', high = '') {  // a filter by a reward
  if (parts.has(name)) return;
  const inputs = [['from', low], ['to', high]].map(([where, value]) => {
    const made = document.createElement('input');
    Object.assign(made, {type: 'number', step: 'any', placeholder: where, value, ariaLabel: name + ' ' + where});
    made.addEventListener('input', changed);
    return made;
  });
  const gone = node('button', '×');
  Object.assign(gone, {type: 'button', ariaLabel: 'no longer by ' + name});
  const made = node('label', '', '', node('bdi', name), ...inputs, gone);
  gone.addEventListener('click', () => {
    parts.delete(name);
    made.remove();
    changed();
  });
  parts.set(name, inputs);
  by('parts').append(made);
}

function clear() {
  for (const id of PLAIN) if (id !== 'moment') by(id).value = by(id).dataset.plain ?? '';
  parts.clear();
  by('parts').replaceChildren();
}

function fill_form() {
  const options = (id, pairs) => by(id).append(...pairs.map(([name, value]) => new Option(name, value)));
  index.forEach((moment, at) => ['moment', 'other'].forEach(id => by(id).append(new Option(title(moment), at))));
  options('moment', [['everything', 'all']]);
  by('other').prepend(new Option('nothing', '', true, true));
  const all = name => [...new Set(index.flatMap(moment => moment[name]))].filter(Boolean);
  const end = {stop: 'ended by itself', length: 'cut at the limit'};
  for (const [id, names, say] of [['run', all('run')], ['task', all('task')], ['model', all('model')],
    ['finish', all('finishes'), name => end[name] ?? name], ['language', all('languages').sort()]]) {
    options(id, [['any', ''], ...names.map(name => [say ? say(name) : name, name])]);
    by(id).parentElement.hidden = names.length < 2;
  }
  by('steps').hidden = !index.some(moment => moment.kind === 'training');
  const names = all('parts');
  options('part', [['choose', ''], ...names.map(name => [name, name])]);
  by('part').parentElement.hidden = !names.length;
  options('sort', [['as it was written', ''], ['tokens', 'tokens'], ['step', 'step'],
    ['share of the question right', 'share'], ...names.map(name => [name, 'part ' + name])]);
  by('way').dataset.plain = by('way').value = '-1';
  by('part').addEventListener('input', () => {
    bounded(by('part').value);
    by('part').value = '';
    changed();
  });
}
