/* The outline before it is written: a title and headings that a person changes, orders, adds and takes away. What is
   typed is kept on the server after a moment; nothing is drawn anew under somebody's hands. */
window.vignette.outline = (place, act) => {
  'use strict';
  const words = place.dataset;
  let shown = '', timer = 0, dragged = null;

  const made = (tag, values = {}, ...inside) => { const element = Object.assign(document.createElement(tag), values); element.append(...inside); return element; };
  const tool = (sign, label, kind = '') => {
    const button = made('button', { type: 'button', className: 'tool ' + kind, textContent: sign });
    if (label) { button.setAttribute('aria-label', label); button.title = label; }
    return button;
  };
  const rows = () => [...place.querySelectorAll('li')];
  const field = (row) => row.querySelector('input');
  const typed = () => ({ title: place.querySelector('.headline').value, headings: rows().map((row) => field(row).value) });
  const keep = (wait = 600) => { clearTimeout(timer); timer = setTimeout(() => { if (shown) act('set_outline', typed()); }, wait); };
  const number = () => rows().forEach((row, n, all) => {
    field(row).setAttribute('aria-label', words.heading.replace('{number}', n + 1));
    row.querySelector('.up').disabled = n === 0;
    row.querySelector('.down').disabled = n === all.length - 1;
  });
  const changed = (wait = 0) => { number(); keep(wait); };

  const row = (heading) => {
    const input = made('input', { value: heading, maxLength: 120 });
    const grip = tool('⠿', words.drag, 'icon grip');
    grip.draggable = true;
    const one = made('li', {}, grip, input, tool('↑', words.up, 'icon up'), tool('↓', words.down, 'icon down'), tool('✕', words.remove, 'icon danger gone'));
    return one;
  };
  const move = (one, by) => {
    const other = by < 0 ? one.previousElementSibling : one.nextElementSibling;
    if (!other) return;
    by < 0 ? other.before(one) : other.after(one);
    changed();
  };
  const add = (after, heading = '') => {
    const one = row(heading);
    after ? after.after(one) : place.querySelector('ol').append(one);
    changed();
    field(one).focus();
  };
  const take = (one) => {
    const next = one.nextElementSibling ?? one.previousElementSibling;
    one.remove();
    changed();
    (next ? field(next) : place.querySelector('.add')).focus();
  };

  const draw = ({ title, headings }) => {
    const headline = made('input', { className: 'headline', value: title, maxLength: 200 });
    headline.setAttribute('aria-label', words.title);
    place.replaceChildren(
      made('h2', { textContent: words.outline }), made('p', { className: 'notice', textContent: words.hint }), headline,
      made('ol', {}, ...headings.map(row)),
      made('div', { className: 'row' }, tool(words.add, '', 'add'), tool(words.write, '', 'primary write')),
    );
    number();
  };
  const show = (outline) => {
    const next = outline ? JSON.stringify(outline) : '';
    place.hidden = !next;
    if (next === shown || (next && shown && place.contains(document.activeElement))) return;
    shown = next;
    clearTimeout(timer);
    if (next) draw(outline);
    else place.replaceChildren();
  };

  place.addEventListener('input', () => keep());
  place.addEventListener('keydown', (event) => {
    const one = event.target.closest('li');
    if (event.isComposing) return;
    if (event.key === 'Enter' && event.target.tagName === 'INPUT') { event.preventDefault(); one ? add(one) : rows()[0] && field(rows()[0]).focus(); }
    if (!one) return;
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by && (event.altKey || event.target.matches('.grip'))) { event.preventDefault(); move(one, by); event.target.focus(); }
    else if (by && event.target.tagName === 'INPUT') { const other = by < 0 ? one.previousElementSibling : one.nextElementSibling; if (other) { event.preventDefault(); field(other).focus(); } }
    if (event.key === 'Backspace' && event.target.value === '') { event.preventDefault(); take(one); }
  });
  place.addEventListener('click', (event) => {
    const button = event.target.closest('button'), one = button?.closest('li');
    if (!button) return;
    if (button.matches('.up')) { move(one, -1); (button.disabled ? one.querySelector('.down') : button).focus(); }
    if (button.matches('.down')) { move(one, 1); (button.disabled ? one.querySelector('.up') : button).focus(); }
    if (button.matches('.gone')) take(one);
    if (button.matches('.add')) add(rows().at(-1));
    if (button.matches('.write')) { clearTimeout(timer); act('write_outline', typed()); }
  });
  place.addEventListener('dragstart', (event) => {
    dragged = event.target.closest?.('.grip') ? event.target.closest('li') : null;
    if (!dragged) return;
    event.dataTransfer.effectAllowed = 'move';
    event.dataTransfer.setData('text/plain', field(dragged).value);
    event.dataTransfer.setDragImage(dragged, 10, 10);
  });
  place.addEventListener('dragover', (event) => {
    const over = event.target.closest('li');
    if (!dragged) return;
    event.preventDefault();
    if (!over || over === dragged) return;
    const { top, height } = over.getBoundingClientRect();
    event.clientY < top + height / 2 ? over.before(dragged) : over.after(dragged);
  });
  place.addEventListener('drop', (event) => { if (dragged) event.preventDefault(); });
  place.addEventListener('dragend', () => { if (dragged) { dragged = null; changed(); } });
  return { show };
};
