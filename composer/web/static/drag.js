/* Sections and pictures are dragged to another place in the article: a section by its handle, a picture by its handle
   or itself. The handle moves them with arrow keys, too. */
window.vignette.dragging = (sheet, paper) => {
  'use strict';
  const { act, shows, idle } = paper;
  let dragged = null, over = null;
  const at = (block) => Number(block.dataset.at);
  const last = () => [...sheet.children].filter((block) => block.dataset.kind === 'section').length - 1;

  const clear = () => { over?.classList.remove('drop-before', 'drop-after'); over = null; };
  /* Where a block would land: (section that it stands after, -1 for before all; whether above what is pointed at). */
  const landing = (event) => {
    const block = event.target.closest?.('.piece');
    if (!block || !sheet.contains(block) || block === dragged || block.dataset.kind === 'notes') return null;
    const { top, height } = block.getBoundingClientRect();
    const above = block.dataset.kind === 'section' && event.clientY < top + height / 2;
    return { block, above, after: Number(block.dataset.after) - (above ? 1 : 0) };
  };
  /* The index that the section will have: those behind it move up. */
  const moveSection = (block, after) => {
    const from = at(block), to = Math.min(Math.max(after < from ? after + 1 : after, 0), last());
    if (to === from) return;
    window.vignette.session.follow = to;
    act('move_section', { at: from, to, was: shows(block) });
  };
  const movePicture = (block, after) => {
    const to = Math.min(Math.max(after, 0), last());
    if (to !== Number(block.dataset.after)) act('move_picture', { at: at(block), to, was: shows(block) });
  };
  const move = (block, after) => (block.dataset.kind === 'section' ? moveSection : movePicture)(block, after);

  sheet.addEventListener('dragstart', (event) => {
    const block = event.target.closest?.('.piece');
    const held = event.target.closest?.('.grip') || (event.target.tagName === 'IMG' && block?.matches('.figure') && !event.target.closest('.tools'));
    if (!block || !held || !idle() || block.classList.contains('locked')) { if (event.target.tagName === 'IMG') event.preventDefault(); return; }
    dragged = block;
    event.dataTransfer.effectAllowed = 'move';
    event.dataTransfer.setData('text/plain', block.innerText.slice(0, 200));
    event.dataTransfer.setDragImage(block, 20, 20);
    block.classList.add('lifted');
  });
  /* Before the handlers of files that fall on a picture. */
  sheet.addEventListener('dragover', (event) => {
    if (!dragged) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    event.dataTransfer.dropEffect = 'move';
    const place = landing(event);
    if (place && over === place.block && over.classList.contains(place.above ? 'drop-before' : 'drop-after')) return;
    clear();
    if (!place) return;
    over = place.block;
    over.classList.add(place.above ? 'drop-before' : 'drop-after');
  }, true);
  sheet.addEventListener('drop', (event) => {
    if (!dragged) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const place = landing(event), block = dragged;
    if (place) move(block, place.after);
  }, true);
  sheet.addEventListener('dragend', () => { dragged?.classList.remove('lifted'); dragged = null; clear(); });
  sheet.addEventListener('keydown', (event) => {
    const block = event.target.matches('.grip') && event.target.closest('.piece');
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!block || !by || !idle()) return;
    event.preventDefault();
    event.stopPropagation();
    /* A section goes past the one before it or after it, a picture to the paragraph there. */
    if (block.dataset.kind === 'section') moveSection(block, at(block) + (by < 0 ? -2 : 1));
    else movePicture(block, Number(block.dataset.after) + by);
  }, true);
};
