/* A field in which text is formatted while it is typed: no marks are seen. What it holds is Markdown all the same, see
   rich_text.js. Null where the text can only be edited as Markdown. */
window.vignette.richFields = (given) => {
  'use strict';
  const { source, label, language, words, shown } = given;
  const { field, cleanHtml } = window.vignette.richText;
  const held = field(shown, source);
  if (!held) return null;
  const root = document.createElement('div'), body = held.root;
  root.className = 'fields vignette';
  root.lang = language;
  Object.assign(body, { className: 'editor rich', contentEditable: 'true', spellcheck: true });
  for (const [name, text] of [['role', 'textbox'], ['aria-multiline', 'true'], ['aria-label', label]]) body.setAttribute(name, text);

  const tell = (name) => root.dispatchEvent(new Event(name));
  /* The number of letters before the caret; -1 where something is chosen. */
  const caret = () => {
    const selection = getSelection();
    if (!selection.isCollapsed || !body.contains(selection.anchorNode)) return -1;
    const before = document.createRange();
    before.setStart(body, 0);
    before.setEnd(selection.anchorNode, selection.anchorOffset);
    return before.toString().length;
  };
  const setCaret = (place) => {
    const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      if (place > 0 && place <= text.length) { getSelection().collapse(text, place); return; }
      place -= text.length;
    }
  };
  const run = (command, value = null) => {
    body.focus({ preventScroll: true });
    const place = /List|formatBlock|outdent/.test(command) ? caret() : -1;
    document.execCommand(command, false, value);
    if (place >= 0) setCaret(place);  /* a list takes it to its start */
    tell('changed');
    pressed();
  };
  const around = (selector) => {
    const node = getSelection().anchorNode, element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    const found = element?.closest?.(selector);
    return found && body.contains(found) && found !== body ? found : null;
  };

  /* The address of a link is asked for beside the buttons. */
  const address = Object.assign(document.createElement('input'), { type: 'url', className: 'address', hidden: true, placeholder: 'https://' });
  address.setAttribute('aria-label', words.address);
  let chosen = null;
  const askAddress = () => {
    const selection = getSelection();
    if (!selection.rangeCount || !body.contains(selection.anchorNode)) return;
    const inside = around('a');
    if (inside && selection.isCollapsed) selection.selectAllChildren(inside);
    chosen = selection.getRangeAt(0).cloneRange();
    const text = selection.toString().trim();
    address.value = inside?.getAttribute('href') ?? (/^(https?:\/\/|mailto:)\S+$/.test(text) ? text : '');
    address.hidden = false;
    address.focus();
  };
  const back = () => {
    body.focus({ preventScroll: true });
    address.hidden = true;
    if (chosen) { getSelection().removeAllRanges(); getSelection().addRange(chosen); }
    chosen = null;
  };
  const link = () => {
    let wanted = address.value.trim();
    if (wanted && !/^(https?|mailto|tel):/i.test(wanted)) wanted = /^\S+@\S+$/.test(wanted) ? 'mailto:' + wanted : 'https://' + wanted;
    back();
    if (!wanted) run('unlink');
    else if (getSelection().isCollapsed) run('insertHTML', Object.assign(document.createElement('a'), { href: wanted, textContent: wanted }).outerHTML);
    else run('createLink', wanted);
  };
  address.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') { event.preventDefault(); link(); }
    if (event.key === 'Escape') { event.preventDefault(); back(); }
    event.stopPropagation();
  });

  const marks = {
    bold: () => run('bold'), italic: () => run('italic'), link: askAddress,
    heading: () => { const at = around('h1, h2, h3, h4, h5, h6'); run('formatBlock', !at || at.tagName === 'H1' ? 'h2' : at.tagName === 'H2' ? 'h3' : 'p'); },
    list: () => run('insertUnorderedList'),
    quote: () => (around('blockquote') ? run('outdent') : run('formatBlock', 'blockquote')),
    source: () => tell('source'), done: () => tell('done'),
  };
  const on = { bold: 'b, strong', italic: 'i, em', link: 'a', heading: 'h1, h2, h3, h4, h5, h6', list: 'ul', quote: 'blockquote' };
  const pressed = () => { for (const [name, where] of Object.entries(on)) bar.querySelector(`[data-mark=${name}]`).setAttribute('aria-pressed', String(Boolean(around(where)))); };
  const watch = () => { if (!root.isConnected) document.removeEventListener('selectionchange', watch); else if (body.contains(getSelection().anchorNode)) pressed(); };
  document.addEventListener('selectionchange', watch);

  const bar = window.vignette.formatting.bar(root, marks, words);
  bar.append(address);
  root.append(body, bar);

  body.addEventListener('paste', (event) => {
    const html = event.clipboardData?.getData('text/html'), text = event.clipboardData?.getData('text/plain');
    event.preventDefault();
    const cleaned = html && cleanHtml(html);
    if (cleaned) run('insertHTML', cleaned);
    else if (text) run('insertText', text);
  });
  /* What Markdown has no word for is not done; what is dropped is text. */
  body.addEventListener('beforeinput', (event) => { if (/^format(Underline|Justify|Font|Back|Indent|Outdent)/.test(event.inputType)) event.preventDefault(); });
  body.addEventListener('dragover', (event) => event.preventDefault());
  body.addEventListener('drop', (event) => {
    event.preventDefault();
    const text = event.dataTransfer.getData('text/plain'), spot = document.caretRangeFromPoint?.(event.clientX, event.clientY);
    if (!text || !spot || !body.contains(spot.startContainer)) return;
    getSelection().removeAllRanges();
    getSelection().addRange(spot);
    run('insertText', text);
  });
  body.addEventListener('input', () => tell('changed'));
  root.addEventListener('focusout', (event) => { if (!root.contains(event.relatedTarget)) tell('left'); });
  return {
    root, body, value: held.value,
    /* To be called once it is in the page; ``point`` is where it was clicked, else the caret comes to the end. */
    open: (point) => {
      document.execCommand('styleWithCSS', false, false);
      document.execCommand('defaultParagraphSeparator', false, 'p');
      body.focus({ preventScroll: true });
      const spot = point && document.caretRangeFromPoint?.(point.x, point.y), selection = getSelection();
      if (spot && body.contains(spot.startContainer)) { selection.removeAllRanges(); selection.addRange(spot); }
      else { selection.selectAllChildren(body.lastElementChild ?? body); selection.collapseToEnd(); }
      pressed();
    },
  };
};
