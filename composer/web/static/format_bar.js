/* The marks that text is given while it is edited, by a bar of buttons and by keys. */
window.vignette.formatting = (() => {
  'use strict';
  const mac = /Mac|iP(hone|ad)/.test(navigator.platform);
  const KEYS = { b: 'bold', i: 'italic', k: 'link', 'shift+h': 'heading', 'shift+l': 'list' };
  const HINTS = { bold: 'B', italic: 'I', link: 'K', heading: 'Shift+H', list: 'Shift+L', done: 'Enter' };

  const isCommand = (event) => (mac ? event.metaKey : event.ctrlKey) && !event.altKey;
  /* A button for each of ``marks``, which are functions by name; keys are heard in ``root``. */
  const bar = (root, marks, words) => {
    const made = document.createElement('div');
    made.className = 'formats';
    made.setAttribute('role', 'toolbar');
    made.setAttribute('aria-label', words.formats);
    for (const name of Object.keys(marks)) {
      const button = Object.assign(document.createElement('button'), { type: 'button', className: 'tool', textContent: words[name] });
      button.dataset.mark = name;
      if (HINTS[name]) button.title = `${words[name]} (${mac ? '⌘' : 'Ctrl+'}${HINTS[name]})`;
      made.append(button);
    }
    made.addEventListener('mousedown', (event) => { if (event.target.tagName !== 'INPUT') event.preventDefault(); });  /* the field keeps its selection */
    made.addEventListener('click', (event) => { const { mark } = event.target.dataset; if (mark) { event.stopPropagation(); marks[mark](); } });
    root.addEventListener('keydown', (event) => {
      if (event.isComposing || !isCommand(event)) return;
      const mark = KEYS[(event.shiftKey ? 'shift+' : '') + event.key.toLowerCase()];
      if (mark) { event.preventDefault(); marks[mark](); }
    });
    return made;
  };
  return { bar, isCommand };
})();
