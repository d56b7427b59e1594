/* Formatted text and Markdown: what is shown in a field as Markdown, and what is pasted as clean HTML. Whoever edits
   formatted text loses nothing: what was not touched keeps its Markdown to the letter, and text of which the shown
   form does not tell everything (notes, tables, remarks) is not edited that way. */
window.vignette.richText = (() => {
  'use strict';
  const MARKS = { B: '**', STRONG: '**', I: '*', EM: '*', S: '~~', DEL: '~~', STRIKE: '~~', MARK: '==', SUB: '~', SUP: '^' };
  const TAGS = { '**': 'strong', '*': 'em', '~~': 's', '==': 'mark', '~': 'sub', '^': 'sup' };
  const BLOCKS = new Set('P DIV SECTION ARTICLE MAIN HEADER FOOTER UL OL LI H1 H2 H3 H4 H5 H6 BLOCKQUOTE PRE HR TABLE TBODY THEAD TR TD TH FIGURE FIGCAPTION DL DT DD'.split(' '));
  const UNSEEN = /^(SCRIPT|STYLE|IMG|SVG|TITLE|META|LINK|BUTTON|TEMPLATE|IFRAME|OBJECT)$/i;
  const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
  const isBlock = (node) => isElement(node) && BLOCKS.has(node.tagName);
  const holdsBlock = (node) => isElement(node) && [...node.querySelectorAll('*')].some(isBlock);
  const webAddress = (node) => (/^(https?|mailto|tel):/i.test(node.getAttribute('href') ?? '') ? node.getAttribute('href') : '');

  /* Which mark an element stands for; a word processor says "bold, but not really" by style. */
  const markOf = (node) => {
    const mark = MARKS[node.tagName] ?? '', { fontWeight, fontStyle } = node.style;
    if (mark === '**' && (fontWeight === 'normal' || fontWeight === '400')) return '';
    if (mark === '*' && fontStyle === 'normal') return '';
    if (!mark && /^(bold|[6-9]00)$/.test(fontWeight)) return '**';
    return mark || (fontStyle === 'italic' ? '*' : '');
  };

  /* Markdown of what stands in a line */
  const safe = (text) => text.replace(/\s+/g, ' ').replace(/([\\`*_[\]<~^$])/g, '\\$1').replace(/==/g, '\\=\\=').replace(/&(?=#?\w+;)/g, '\\&');
  const SIGN = /[\p{P}\p{S}]/u, APART = /[\s\p{P}\p{S}]/u;
  const around = (mark, text, before, after) => {
    const [, lead, inner, trail] = /^(\s*)([^]*?)(\s*)$/.exec(text);
    if (!inner) return lead + trail;
    /* Between a letter and a sign of its own a mark would stay a mark: a tag says the same. */
    const shut = (SIGN.test(inner[0]) && before && !lead && !APART.test(before)) || (SIGN.test(inner.at(-1)) && after && !trail && !APART.test(after));
    return lead + (shut ? `<${TAGS[mark]}>${inner}</${TAGS[mark]}>` : mark + inner + mark) + trail;
  };
  const inline = (node) => {
    let text = '';
    for (const child of node.childNodes) text += one(child, text.at(-1) ?? '');
    return text;
  };
  const one = (node, before = '') => {
    if (node.nodeType === Node.TEXT_NODE) return safe(node.data);
    if (!isElement(node) || UNSEEN.test(node.tagName)) return '';
    if (node.tagName === 'BR') return '\\\n';
    if (node.tagName === 'CODE') { const text = node.textContent; return text ? '`' + text.replaceAll('`', "'") + '`' : ''; }
    const address = node.tagName === 'A' && webAddress(node);
    if (address) {
      if (node.textContent === address && !node.title) return address;
      const target = address.replaceAll('(', '%28').replaceAll(')', '%29').replaceAll(' ', '%20'), words = inline(node).trim();
      return words ? `[${words}](${target}${node.title ? ` "${node.title.replaceAll('"', '\\"')}"` : ''})` : '';
    }
    const mark = markOf(node), inner = inline(node);
    return mark ? around(mark, inner, before, (node.nextSibling?.textContent ?? '')[0] ?? '') : inner;
  };

  /* Markdown of blocks, one string each. ``pasted`` text comes from word processors, in whose lists every item is a
     paragraph. */
  const blocks = (node, pasted) => {
    const found = [];
    let run = '';
    const close = () => {
      const text = run.replace(/[ \t]*(\\?)\n[ \t]*/g, '$1\n').replace(/^(\s|\\\n)+|(\s|\\\n)+$/g, '');
      if (text) found.push(text.replace(/^(#{1,6}(?=\s|$)|[-+>](?=\s|$)|\d+(?=[.)](\s|$)))/gm, (start) => (/\d/.test(start) ? start + '\\' : '\\' + start)));
      run = '';
    };
    for (const child of node.childNodes) {
      if (!isBlock(child)) {
        if (holdsBlock(child)) { close(); found.push(...blocks(child, pasted)); }
        else run += one(child, run.at(-1) ?? '');
        continue;
      }
      close();
      found.push(...block(child, pasted));
    }
    close();
    return found;
  };
  const block = (node, pasted) => {
    const level = /^H([1-6])$/.exec(node.tagName)?.[1];
    if (level) {
      const text = inline(node).replaceAll('\\\n', ' ').replace(/\s+/g, ' ').trim();
      return text ? ['#'.repeat(pasted ? Math.max(2, Number(level)) : Number(level)) + ' ' + text] : [];
    }
    if (node.tagName === 'UL' || node.tagName === 'OL') {
      const items = [...node.children], loose = !pasted && items.some((li) => li.querySelector(':scope > p'));
      /* Two lists in a row would be one, were their signs the same. */
      let apart = 0;
      for (let other = node.previousElementSibling; other?.tagName === node.tagName; other = other.previousElementSibling) apart++;
      const first = Number(node.getAttribute('start') ?? 1), bullet = apart % 2 ? '* ' : '- ', dot = apart % 2 ? ')' : '.';
      const text = items.map((li, n) => item(li, node.tagName === 'UL' ? bullet : `${first + n}${dot} `, pasted)).join(loose ? '\n\n' : '\n');
      return items.length ? [text] : [];
    }
    if (node.tagName === 'LI') return [item(node, '- ', pasted)];
    if (node.tagName === 'BLOCKQUOTE') { const inner = blocks(node, pasted).join('\n\n'); return inner ? [inner.replace(/^/gm, '> ').replace(/^> $/gm, '>')] : []; }
    if (node.tagName === 'PRE') return ['```\n' + node.textContent.replace(/\n$/, '') + '\n```'];
    if (node.tagName === 'HR') return ['---'];
    if (node.tagName === 'TR') return [[...node.children].map((cell) => inline(cell).trim()).join(' · ')];
    return blocks(node, pasted);
  };
  const item = (li, sign, pasted) => {
    const parts = blocks(li, pasted);
    const text = parts.reduce((all, part) => all + (all && !/^([-+*]|\d+[.)]) /.test(part) ? '\n\n' : all ? '\n' : '') + part, '');
    return sign + text.replaceAll('\n', '\n' + ' '.repeat(sign.length)).replace(/^ +$/gm, '');
  };

  /* HTML of the same kinds of blocks and marks, and nothing else: what may be put into a field. */
  const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
  const clean = (node) => [...node.childNodes].map((child) => {
    if (child.nodeType === Node.TEXT_NODE) return escaped(child.data.replace(/\s+/g, ' '));
    if (!isElement(child) || UNSEEN.test(child.tagName)) return '';
    const name = child.tagName.toLowerCase(), inner = clean(child);
    if (/^(br|hr)$/.test(name)) return `<${name}>`;
    if (name === 'pre') return `<pre>${escaped(child.textContent)}</pre>`;
    if (/^(p|ul|ol|li|blockquote|code)$/.test(name)) return `<${name}>${inner}</${name}>`;
    if (/^h[1-6]$/.test(name)) { const level = Math.max(2, Number(name[1])); return `<h${level}>${inner}</h${level}>`; }
    if (/^(tr|div|section|article|dt|dd|figcaption)$/.test(name)) return holdsBlock(child) ? inner : `<p>${inner}</p>`;
    if (/^t[dh]$/.test(name)) return child.nextElementSibling ? inner + ' · ' : inner;
    const address = name === 'a' && webAddress(child);
    if (address) return `<a href="${escaped(address)}">${inner}</a>`;
    const mark = markOf(child);
    return mark && !holdsBlock(child) ? `<${TAGS[mark]}>${inner}</${TAGS[mark]}>` : inner;
  }).join('');
  const RICH = 'b, strong, i, em, a[href], ul, ol, h1, h2, h3, h4, h5, h6, blockquote, pre, code, p + p';
  const parsed = (html) => { const { body } = new DOMParser().parseFromString(html, 'text/html'); return body.querySelector(RICH) ? body : null; };
  /* Pasted HTML; null where it is nothing but text. */
  const markdown = (html) => { const body = parsed(html); return body && blocks(body, true).join('\n\n'); };
  const cleanHtml = (html) => { const body = parsed(html); return body && clean(body); };

  /* What two Markdown texts that say the same have in common: no escapes, one kind of bullet and mark, one space. */
  const core = (text) => text
    .replace(/^[ \t]*(>[ \t]?)+/gm, '').replace(/^([ \t]*)[*+](?=[ \t])/gm, '$1-').replace(/^([ \t]*)\d+[.)](?=[ \t])/gm, '$11.')
    .replace(/\\(?=[^A-Za-z0-9\s]|\n)/g, '').replaceAll('_', '*').replace(/%2([089])/g, (_, n) => ' ()'[['0', '8', '9'].indexOf(n)])
    .replace(/&(amp|lt|gt|quot);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name]).replace(/\s+/g, ' ').trim();
  /* The blocks of a text, each with the white space before it. */
  const chunks = (source) => {
    const found = source.split(/(\n[ \t]*(?:\n[ \t]*)+)/), all = [];
    for (let n = 0; n < found.length; n += 2) {
      const gap = found[n - 1] ?? '', headed = /^(#{1,6}[ \t][^\n]*)(\n)([^]+)$/.exec(found[n]);
      if (headed) all.push([gap, headed[1]], [headed[2], headed[3]]);
      else all.push([gap, found[n]]);
    }
    return all;
  };

  /* A field of formatted text for what ``shown`` shows of ``source``; null where that would lose something. */
  const field = (shown, source) => {
    const root = document.createElement('div');
    for (const child of shown.childNodes) root.append(child.cloneNode(true));
    for (const extra of root.querySelectorAll('.tick, .cite')) extra.remove();
    for (const mark of root.querySelectorAll('mark.unchecked')) mark.replaceWith(...mark.childNodes);
    root.normalize();
    if (root.querySelector('img, table, pre, dl, input, ol.notes')) return null;
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) text.data = text.data.replace(/\s*\n\s*/g, ' ');
    /* Between blocks white space would be seen as empty lines. */
    for (const place of [root, ...root.querySelectorAll('ul, ol, li, blockquote')]) {
      for (const child of [...place.childNodes]) if (child.nodeType === Node.TEXT_NODE && !child.data.trim() && (place.tagName !== 'LI' || holdsBlock(place))) child.remove();
    }
    for (const line of root.querySelectorAll('br')) if (line.nextSibling?.nodeType === Node.TEXT_NODE) line.nextSibling.data = line.nextSibling.data.replace(/^ /, '');
    if (core(blocks(root).join('\n\n')) !== core(source)) return null;
    /* Each block with what it was written as: as many chunks of the source as say the same. */
    const pieces = chunks(source), kept = new Map();
    for (const element of root.childNodes) {
      const first = isBlock(element) ? block(element).join('\n\n') : '', [gap, start] = pieces.shift() ?? ['', ''];
      let text = start;
      while (core(text) !== core(first) && pieces.length) text += pieces.shift().join('');
      kept.set(element, { gap, text, first });
    }
    const fits = !pieces.length && [...kept.values()].every(({ text, first }) => core(text) === core(first));
    const whole = blocks(root).join('\n\n');
    if (!root.childNodes.length) root.innerHTML = '<p><br></p>';
    const value = () => {
      if (blocks(root).join('\n\n') === whole) return source;
      if (!fits) return blocks(root).join('\n\n');
      let text = '', before = null;
      const add = (one, gap) => { if (one) text += (text && gap) + one; };
      let run = document.createElement('div');
      const close = () => { for (const one of blocks(run)) { add(one, '\n\n'); before = null; } run = document.createElement('div'); };
      for (const node of root.childNodes) {
        if (!isBlock(node)) { run.append(node.cloneNode(true)); continue; }
        close();
        const own = kept.get(node), now = block(node);
        if (own && now.join('\n\n') === own.first) { add(own.text, before === node.previousSibling && before ? own.gap || '\n\n' : '\n\n'); before = node; }
        else { for (const one of now) add(one, '\n\n'); before = null; }
      }
      close();
      return text;
    };
    return { root, value };
  };
  /* Markdown of what an element shows, none of it as it was written. */
  const markdownOf = (element) => blocks(element).join('\n\n');
  return { markdown, cleanHtml, field, markdownOf };
})();
