// A sample's text: reasoning folded, formulas set, tags in colour, what was searched for marked. Text only ever becomes
// text nodes; a formula becomes elements that KaTeX makes, without commands that load, link or set attributes.
'use strict';
const LONG = 12000;  // characters of a part that are shown before one asks for the rest
const SHORT = 280;  // reasoning up to so many characters is not folded: it would save nothing
const FORMULAS = 300;  // of one part that are set; the others stay as they were written
const FORMULA = new RegExp([
  /\$\$([^]{1,2000}?)\$\$/, /\\\[([^]{1,2000}?)\\\]/, /\\\(([^]{1,1000}?)\\\)/,
  /(?<![\\$\w])\$(?=[^\s$])([^$\n]{1,400}?)(?<=[^\s\\])\$(?![\d$])/,  // not the $5 and $6 of prices
  /(\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){0,400}\})/,
  /(\\begin\{(equation|align|aligned|gather|cases|array|[bpv]?matrix)\*?\}[^]{1,2000}?\\end\{\7\*?\})/,
].map(one => one.source).join('|'), 'g');
const ANSWER =
  /\\(?:[dt]?frac|sqrt|pi|cdot|times|infty|text|left|begin|boxed|pm|leq?|geq?|circ|log|sin|cos|tan)\b|[\^_]\{/;
const TAG = /(<\/?(?:think|answer)>|<?\|\w{1,20}\|>?)/;

function node(tag, text, name, ...inside) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

let coming_katex = null;

function withKatex() {  // resolves to KaTeX, or null where it is not beside the page
  if (globalThis.katex) return Promise.resolve(globalThis.katex);
  coming_katex ??= new Promise(found => {
    const script = document.createElement('script');
    script.src = folder + 'katex.js';
    script.onload = () => found(globalThis.katex ?? null);
    script.onerror = () => found(null);
    document.head.append(script);
  });
  return coming_katex;
}

function refuse() {  // KaTeX asks before what loads, links or sets attributes; told false it would leave the text out
  throw new Error('not set');
}

function formula(source, math, display) {
  const made = node('span', source, 'formula');
  const set = katex => {
    const place = document.createElement('span');
    try {
      katex.render(math, place, {output: 'html', displayMode: display, throwOnError: true, strict: 'ignore',
        trust: refuse, maxSize: 20, maxExpand: 200});
    } catch { return; }  // what is no formula after all stays as it was written
    made.replaceChildren(...place.childNodes);
    made.classList.toggle('display', display);
    made.title = source;
  };
  if (globalThis.katex) set(globalThis.katex);
  else withKatex().then(katex => katex && set(katex));
  return made;
}

function answer(text, most) {  // a short text that is one formula, where it looks like one
  return ANSWER.test(text) && text.length <= most && !text.includes('$')
    ? formula(text, text, false) : node('bdi', text.length > most ? text.slice(0, most) + ' …' : text);
}

function marked(text, words) {  // nodes, with what was searched for in <mark>
  const lower = text.toLowerCase();
  if (!words || lower.length !== text.length) return [text];
  const made = [];
  let from = 0;
  for (let at; made.length < 2000 && (at = lower.indexOf(words, from)) >= 0; from = at + words.length)
    made.push(text.slice(from, at), node('mark', text.slice(at, at + words.length)));
  made.push(text.slice(from));
  return made;
}

function plain(into, text, words) {
  for (const part of text.split(TAG))
    if (part) into.append(...(TAG.test(part) && part.match(TAG)[0] === part ? [node('span', part, 'tag')]
      : marked(part, words)));
}

function inlined(into, text, words, math) {
  let from = 0, count = 0;
  if (math) for (const match of text.matchAll(FORMULA)) {
    const found = match.slice(1, 7).find(one => one != null);
    if (found === undefined || ++count > FORMULAS) continue;
    if (words && match[0].toLowerCase().includes(words)) continue;  // what was searched for is shown as written
    plain(into, text.slice(from, match.index), words);
    into.append(formula(match[0], found, match[0].startsWith('$$') || match[0].startsWith('\\[')
      || match[0].startsWith('\\begin')));
    from = match.index + match[0].length;
  }
  plain(into, text.slice(from), words);
}

function block(text, words, math, before) {  // a <pre>; of a long text its beginning, and a button for the rest
  const made = node('pre');
  made.dir = 'auto';
  if (before) made.append(node('span', before, 'prefill'));
  const hit = words ? text.toLowerCase().indexOf(words) : -1;
  let upTo = text.length > LONG * 1.2 ? Math.max(LONG, hit >= 0 ? hit + 2000 : 0) : text.length;
  if (/[\ud800-\udbff]/.test(text[upTo - 1] ?? '')) upTo++;
  inlined(made, text.slice(0, upTo), words, math);
  if (upTo < text.length) {
    const rest = node('button', 'show the other ' + said(text.length - upTo) + ' characters', 'rest');
    rest.type = 'button';
    rest.addEventListener('click', () => {
      rest.remove();
      inlined(made, text.slice(upTo), words, math);
    });
    made.append(rest);
  }
  return made;
}

function reasoningOf(text, prefill) {  // [from, to] of the reasoning, tags excluded; null without one
  const mark = text.match(/<\|thought\|>|\|special_token\|/)?.[0];
  if (mark) {
    const from = text.indexOf(mark) + mark.length, to = text.lastIndexOf(mark);
    return [from, to >= from ? to : text.length];
  }
  const begun = prefill.lastIndexOf('<think>') > prefill.lastIndexOf('</think>');
  const open = text.indexOf('<think>'), close = text.lastIndexOf('</think>');
  if (!begun && open < 0 && close < 0) return null;
  const from = begun || open < 0 || (close >= 0 && close < open) ? 0 : open + 7;
  return [from, close >= from ? close : text.length];
}

function written(one, words) {  // nodes of a sample's text
  const raw = by('raw').checked, span = raw ? null : reasoningOf(one.text, one.prefill), math = !raw;
  if (!span || span[1] - span[0] <= SHORT) return [block(one.text, words, math, one.prefill)];
  const [from, to] = span, head = one.text.slice(0, from), inside = one.text.slice(from, to), tail = one.text.slice(to);
  const fold = node('details', '', 'reasoning'), first = inside.trim().slice(0, 90).replace(/\s+/g, ' ');
  const name = node('bdi', first + (inside.length > 90 ? ' …' : ''), 'faint');
  const tag = !one.prefill && TAG.test(head) && head.trim().match(TAG)[0] === head.trim();  // no box for it alone
  fold.append(node('summary', '', '', ...(tag ? [node('span', head.trim() + ' ', 'tag')] : []),
    'Reasoning, ' + said(inside.length) + ' characters ', name));
  const fill = () => { if (fold.open && fold.childNodes.length === 1) fold.append(block(inside, words, math)); };
  fold.open = by('unfold').checked || (words && inside.toLowerCase().includes(words));
  fold.addEventListener('toggle', fill);
  fill();
  const made = [fold];
  if ((head.trim() && !tag) || one.prefill) made.unshift(block(head, words, math, one.prefill));
  if (tail.trim()) made.push(block(tail, words, math));
  return made;
}
