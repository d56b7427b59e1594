/* The fields that Markdown is typed into: a heading of its own, text with marks for bold, links and lists, rich text
   that is pasted. Knows no server. See rich_editor.js for text that is formatted while it is typed. */
window.vignette.fields = (() => {
  'use strict';
  const HEADING = /^(#{1,6})[ \t]+([^\n]*?)(?:[ \t]+#+)?[ \t]*(?:\n+|$)/;
  const { formatting, richText } = window.vignette;

  /* Inserting through the browser keeps its own undo. */
  const insert = (field, from, to, text) => {
    field.focus({ preventScroll: true });
    field.setSelectionRange(from, to);
    if (!document.execCommand('insertText', false, text)) {
      field.setRangeText(text, from, to, 'end');
      field.dispatchEvent(new Event('input', { bubbles: true }));
    }
  };
  const wrap = (field, mark) => {
    const { value } = field;
    let { selectionStart: from, selectionEnd: to } = field;
    while (from < to && /\s/.test(value[from])) from++;
    while (to > from && /\s/.test(value[to - 1])) to--;
    const n = mark.length, chosen = value.slice(from, to);
    const outside = value.slice(from - n, from) === mark && value.slice(to, to + n) === mark &&
      (mark !== '*' || value.slice(from - 2, from) !== '**' || value.slice(from - 3, from) === '***');
    if (outside) { insert(field, from - n, to + n, chosen); field.setSelectionRange(from - n, to - n); }
    else { insert(field, from, to, mark + chosen + mark); field.setSelectionRange(from + n, to + n); }
  };
  const link = (field) => {
    const { selectionStart: from, selectionEnd: to, value } = field;
    const chosen = value.slice(from, to), address = /^(https?:\/\/|mailto:)\S+$/.test(chosen);
    insert(field, from, to, address ? `[](${chosen})` : `[${chosen}](https://)`);
    const start = address || !chosen ? from + 1 : from + chosen.length + 3;
    field.setSelectionRange(start, address || !chosen ? start : start + 8);
  };
  const lines = (field, mark, marked) => {
    const { value } = field;
    const from = value.lastIndexOf('\n', field.selectionStart - 1) + 1;
    const end = value.indexOf('\n', Math.max(field.selectionEnd - 1, from)), to = end < 0 ? value.length : end;
    const all = value.slice(from, to).split('\n');
    const off = all.every((line) => !line || marked.test(line));
    const changed = all.map((line) => (off ? line.replace(marked, '') : line || all.length === 1 ? mark + line : line)).join('\n');
    insert(field, from, to, changed);
    field.setSelectionRange(all.length > 1 ? from : from + changed.length, from + changed.length);
  };

  const fit = (field) => { field.style.height = 'auto'; field.style.height = field.scrollHeight + 'px'; };

  /* ``words`` name the marks, and none are offered without them; ``language`` is the article's. */
  const fields = ({ source, label, language, words = null }) => {
    const root = document.createElement('div'), body = document.createElement('textarea');
    root.className = 'fields' + (words ? ' vignette' : '');
    root.lang = language;
    const found = words && HEADING.exec(source);
    let head = null, level = 0;
    const made = (field, value, name) => {
      Object.assign(field, { value, rows: 1, className: 'editor' });
      field.setAttribute('aria-label', name);
      return field;
    };
    const setLevel = (wanted, text = head?.value ?? '') => {
      level = wanted;
      if (!head && level) {
        head = made(document.createElement('textarea'), text, words.heading);
        root.prepend(head);
      }
      if (head && !level) { head.remove(); head = null; }
      if (head) { head.className = 'editor head level' + level; fit(head); }
      root.querySelector('[data-mark=heading]')?.setAttribute('aria-pressed', String(level > 0));
    };
    const value = () => {
      const name = head ? head.value.replace(/\s+/g, ' ').trim() : '';
      return name ? ['#'.repeat(level) + ' ' + name, body.value].filter((part) => part.trim()).join('\n\n') : body.value;
    };
    const changed = () => root.dispatchEvent(new Event('changed'));
    const heading = () => {
      const text = head?.value ?? '';
      if (level === 0) {
        const [first, rest] = [body.value.slice(0, body.selectionStart).includes('\n') ? '' : body.value.split('\n')[0], body.value];
        const short = first && first.length <= 80 && !/[.。!！?？]$/.test(first.trim());
        setLevel(2, short ? first : '');
        if (short) { body.value = rest.slice(first.length).replace(/^\n+/, ''); fit(body); }
        head.focus({ preventScroll: true });
      } else if (level < 3) setLevel(level + 1);
      else {
        setLevel(0);
        if (text.trim()) { body.value = text + (body.value.trim() ? '\n\n' + body.value : ''); fit(body); }
        body.focus({ preventScroll: true });
      }
      changed();
    };
    const marks = {
      bold: () => wrap(body, '**'), italic: () => wrap(body, '*'), link: () => link(body), heading,
      list: () => lines(body, '- ', /^[-*+] /), quote: () => lines(body, '> ', /^> ?/),
      done: () => root.dispatchEvent(new Event('done')),
    };

    made(body, found ? source.slice(found[0].length) : source, label);
    root.append(body);
    if (words) {
      root.append(formatting.bar(root, marks, words));
      if (found) setLevel(found[1].length, found[2]);
      root.addEventListener('keydown', (event) => {
        if (event.isComposing || formatting.isCommand(event)) return;
        const there = head && document.activeElement === head;
        if (there && (event.key === 'Enter' || (event.key === 'ArrowDown' && head.selectionEnd === head.value.length))) {
          event.preventDefault();
          body.focus({ preventScroll: true });
          body.setSelectionRange(0, 0);
        } else if (head && event.target === body && body.selectionEnd === 0 && (event.key === 'ArrowUp' || event.key === 'Backspace')) {
          event.preventDefault();
          head.focus({ preventScroll: true });
          head.setSelectionRange(head.value.length, head.value.length);
        }
      });
      body.addEventListener('paste', (event) => {
        const html = event.clipboardData?.getData('text/html');
        const text = html && richText.markdown(html);
        if (!text) return;
        event.preventDefault();
        insert(body, body.selectionStart, body.selectionEnd, text);
      });
    }
    root.addEventListener('input', (event) => { fit(event.target); changed(); });
    root.addEventListener('focusout', (event) => { if (!root.contains(event.relatedTarget)) root.dispatchEvent(new Event('left')); });
    return {
      root, body, value,
      /* To be called once it is in the page: heights are measured. */
      open: (caret = body.value.length, inHead = false) => {
        fit(body);
        if (head) fit(head);
        const field = inHead && head ? head : body;
        field.focus({ preventScroll: true });
        if (field === body) body.setSelectionRange(caret, caret);
      },
      headLength: found ? found[0].length : 0,
    };
  };
  return fields;
})();
