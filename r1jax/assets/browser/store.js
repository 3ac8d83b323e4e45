// Tables and chunks of samples: scripts beside the page, loaded as they are looked at, which works without a server.
'use strict';
const by = id => document.getElementById(id);
const index = JSON.parse(by('index').textContent);
const KEPT = 64;  // chunks; of more the oldest go
const chunks = new Map(), waiting = new Map(), coming = new Map();

function given(name, data) {  // each script calls this
  chunks.set(name, data);
  waiting.get(name)?.();
}

function load(name) {
  if (chunks.has(name)) return Promise.resolve(chunks.get(name));
  if (!coming.has(name)) coming.set(name, new Promise((found, failed) => {  // what lists and what searches share it
    const script = document.createElement('script');
    script.src = folder + encodeURIComponent(name);
    waiting.set(name, () => found(chunks.get(name)));
    script.onload = script.onerror = () => {
      waiting.delete(name);
      coming.delete(name);
      script.remove();
      failed(new Error(folder + name + ' is not beside this page. Was the report written again? Then read the page'
        + ' again; it needs the folder ' + folder + ' wherever it goes.'));  // of one that was found it changes nothing
      drop();
    };
    document.head.append(script);
  }));
  return coming.get(name);
}

let inline = new Set();  // what stands in the page itself cannot be loaded again

function drop() {
  const loaded = [...chunks.keys()].filter(name => !inline.has(name) && !name.endsWith('-rows.js'));
  for (const name of loaded.slice(0, Math.max(0, loaded.length - KEPT))) chunks.delete(name);
}

async function table(moment) {  // columns; they stay
  if (!moment.table) {
    const of = await load(moment.rows);
    if (!inline.has(moment.rows)) chunks.delete(moment.rows);
    const part = new Map(moment.parts.map((name, at) => [name, of.facts[at]]));
    moment.table = {...of, part};
  }
  return moment.table;
}

async function tables(moments, tell) {
  const packs = [...new Set(moments.filter(moment => !moment.table).map(moment => moment.pack).filter(Boolean))];
  if (moments.length > 1) for (const [at, pack] of packs.entries()) {  // tables of many steps in one script
    await load(pack);
    await Promise.all(index.filter(moment => moment.pack === pack).map(table));
    chunks.delete(pack);
    tell?.(at + 1, packs.length);
  }
  await Promise.all(moments.map(table));
}

function chunkOf(moment, row) {  // number of the chunk that holds a row
  const firsts = moment.table.firsts;
  let low = 0, high = firsts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (firsts[middle] <= row) low = middle; else high = middle - 1;
  }
  return low;
}

const flat = new WeakMap();  // a chunk's samples in a row, each with its piece

async function textOf(moment, row) {  // {prompt, prefill, text, answer, why}
  const at = chunkOf(moment, row), pieces = await load(moment.chunks[at]);
  if (!flat.has(pieces)) flat.set(pieces, pieces.flatMap(piece => piece.samples.map(one => [piece, one])));
  const [piece, one] = flat.get(pieces)[row - moment.table.firsts[at]];
  return {prompt: piece.prompt, prefill: piece.prefill, ...one};
}

function questionsOf(moment) {  // id -> rows of it, in the order of the file
  const of = moment.table;
  if (!of.byId) {
    of.byId = new Map();
    of.question.forEach((number, row) => {
      const id = of.questions.id[number], rows = of.byId.get(id);
      if (rows) rows.push(row); else of.byId.set(id, [row]);
    });
  }
  return of.byId;
}

function shareOf(moment, id) {  // [right, judged] of a question, over all groups that were asked it
  let right = 0, judged = 0;
  const of = moment.table;
  for (const row of questionsOf(moment).get(id) ?? []) {
    judged += of.right[row] != null;
    right += of.right[row] ?? 0;
  }
  return [right, judged];
}

const said = number => number.toLocaleString('en');
const short = value => +Number(value).toPrecision(4);
