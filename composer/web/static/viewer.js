/* The large view: one picture as large as the window, with its words, and the ones before and after it. */
window.vignette.enlarge = (pictures, index) => {
  'use strict';
  const words = document.querySelector('.viewer-words').dataset;
  const dialog = document.createElement('dialog');
  const made = (tag, className, values = {}) => { const element = Object.assign(document.createElement(tag), { className, ...values }); dialog.append(element); return element; };
  const button = (className, text, label) => {
    const one = made('button', 'tool ' + className, { type: 'button', textContent: text });
    one.setAttribute('aria-label', label);
    one.title = label;
    return one;
  };
  dialog.className = 'viewer';
  const image = made('img', ''), said = made('p', 'said'), count = made('span', 'count');
  count.setAttribute('role', 'status');
  const previous = button('previous', '‹', words.previous), next = button('next', '›', words.next), close = button('close', '✕', words.close);
  const show = (wanted) => {
    index = Math.min(Math.max(wanted, 0), pictures.length - 1);
    const { src, alt, caption, credit } = pictures[index];
    Object.assign(image, { src, alt: alt || caption });
    said.textContent = [caption, credit].filter(Boolean).join(' · ');
    count.textContent = words.of.replace('{number}', index + 1).replace('{count}', pictures.length);
    dialog.setAttribute('aria-label', caption || alt || words.picture);
    const first = index === 0, last = index === pictures.length - 1, focused = document.activeElement;
    /* The focus moves on before its button is disabled: after that it is nobody's, and keys are not heard. */
    const instead = first && focused === previous ? (last ? close : next) : last && focused === next ? (first ? close : previous) : null;
    if (instead) instead.disabled = false;
    instead?.focus();
    [previous.disabled, next.disabled] = [first, last];
  };
  previous.addEventListener('click', () => show(index - 1));
  next.addEventListener('click', () => show(index + 1));
  dialog.addEventListener('click', (event) => { if (event.target === dialog || event.target === close) dialog.close(); });
  dialog.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 }[event.key];
    const end = { Home: 0, End: pictures.length - 1 }[event.key];
    if (by) show(index + by);
    else if (end !== undefined) show(end);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return new Promise((over) => {
    dialog.addEventListener('close', () => { dialog.remove(); over(index); });
    document.body.append(dialog);
    show(index);
    dialog.showModal();
    (pictures.length > 1 && !next.disabled ? next : close).focus();
  });
};
