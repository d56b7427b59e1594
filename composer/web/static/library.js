/* The Library tab: pages through a library, searches it, edits words, takes pictures in and watches an indexing run. */
window.vignette.library = (element, language, server, trigger, upload) => {
  'use strict';
  const { into, fileItems, filesOf, wrong } = window.vignette;
  const find = (selector) => element.querySelector(selector);
  const state = { library: '', words: '', page: 0, apart: false, like: '', hidden: false };
  const chosen = new Set();
  let watching = false, selecting = false, asked = 0;

  const call = async (name, payload = {}) => {
    const answer = await server[name]({ ui: language, ...state, ...payload });
    into(find('.toast'), wrong(answer.error));
    return answer;
  };
  const show = (answer) => {
    for (const part of ['choice', 'count', 'cards', 'pager', 'failures', 'start']) if (answer[part] !== undefined) into(find('.' + part), answer[part]);
    if (answer.library !== undefined) state.library = answer.library;
    element.classList.toggle('none', answer.none === true);
    find('.library').classList.toggle('hidden-ones', answer.hidden === true);
    marks();
  };
  /* Many at once: while pictures are chosen, a click on one chooses it. */
  const marks = () => {
    find('.many').hidden = !selecting;
    find('[data-lib=select]').setAttribute('aria-pressed', selecting);
    for (const card of element.querySelectorAll('.card')) selecting ? card.setAttribute('aria-pressed', chosen.has(card.dataset.id)) : card.removeAttribute('aria-pressed');
    const said = find('.many .chosen'), remove = find('[data-lib=delete]');
    said.textContent = said.dataset.words.replace('{count}', chosen.size);
    for (const button of find('.many').querySelectorAll('button:not([data-lib=all])')) button.disabled = !chosen.size;
    remove.dataset.asked = '';
    remove.textContent = remove.dataset.text ??= remove.textContent;
  };
  const select = (yes) => { selecting = yes; chosen.clear(); marks(); };
  const done = async (answer) => {
    if (answer.error) return;
    select(false);
    await browse();
    into(find('.run'), answer.html);
    trigger('change');
  };
  const enlarge = async (id) => {
    const cards = [...element.querySelectorAll('.card')];
    const pictures = cards.map((card) => ({ src: card.dataset.large, alt: card.dataset.name, caption: card.dataset.name, credit: card.querySelector('.credit').textContent }));
    const seen = await window.vignette.enlarge(pictures, cards.findIndex((card) => card.dataset.id === id));
    cards[seen]?.focus();
  };
  /* Of several that are under way only what was asked for last is shown. */
  const browse = async (changes = {}) => {
    Object.assign(state, changes);
    const own = ++asked;
    find('.cards').setAttribute('aria-busy', 'true');
    try {
      const answer = await call('browse');
      if (own === asked) show(answer);
    } finally {
      if (own === asked) find('.cards').removeAttribute('aria-busy');
    }
  };
  const watch = async () => {
    if (watching) return;
    watching = true;
    for (;;) {
      const answer = await call('indexing');
      into(find('.run'), answer.html);
      if (!answer.going) { if (answer.library) { await browse({ library: answer.library, page: 0, words: '' }); trigger('change'); } break; }
      await new Promise((resolve) => setTimeout(resolve, 400));
      if (!element.isConnected) break;
    }
    watching = false;
  };
  /* Pictures and folders that are dropped or picked go into the library's own folder, one file after another. */
  let sending = false;
  const send = async (files) => {
    const place = find('.drop');
    if (!place || sending || !files.length) return;
    sending = true;
    const ending = (suffixes) => files.filter(({ relative }) => suffixes.split(' ').some((suffix) => relative.toLowerCase().endsWith(suffix)));
    const pictures = ending(place.dataset.suffixes), beside = ending(place.dataset.beside);
    const top = files[0].relative.split('/');
    const name = find('.index [name=name]').value.trim() || (top.length > 1 ? top[0] : place.dataset.name);
    const left = [], all = pictures.length ? [...pictures, ...beside] : [];
    let done = 0;
    for (const { file, relative } of all) {
      into(find('.run'), `<p class="notice">${place.dataset.sending.replace('{done}', ++done).replace('{count}', all.length)}</p><progress max="${all.length}" value="${done}"></progress>`);
      try {
        const answer = await server.add({ ui: language, name, relative, path: (await upload(file)).path });
        if (answer.error) left.push(answer.error);
      } catch { left.push(relative); }
    }
    sending = false;
    const answer = await call('added', { name });
    into(find('.run'), answer.html ?? '');
    if (left.length) into(find('.toast'), wrong(place.dataset.left.replace('{count}', left.length).replace('{first}', left[0].replace(/[&<>]/g, ''))));
    if (!answer.error) watch();
  };
  const carries = (event) => find('.drop') && fileItems(event).length > 0;
  element.addEventListener('dragover', (event) => { if (carries(event)) { event.preventDefault(); element.classList.add('dropping'); } });
  element.addEventListener('dragleave', (event) => { if (!element.contains(event.relatedTarget)) element.classList.remove('dropping'); });
  element.addEventListener('drop', async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    element.classList.remove('dropping');
    send(await filesOf(fileItems(event)));
  });
  const picked = (files) => send(files.map((file) => ({ file, relative: file.webkitRelativePath || file.name })));

  element.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-lib]');
    if (!button) return;
    const { lib, id, page } = button.dataset;
    if (lib === 'apart') await browse({ apart: true, page: 0 });
    if (lib === 'select') select(!selecting);
    if (lib === 'edit' && selecting) { chosen.has(id) ? chosen.delete(id) : chosen.add(id); marks(); return; }
    if (lib === 'all') { for (const card of element.querySelectorAll('.card')) chosen.add(card.dataset.id); marks(); }
    if (lib === 'many') { into(find('dialog .form'), (await call('many', { ids: [...chosen] })).html ?? ''); find('dialog').showModal(); }
    if (lib === 'hide' || lib === 'unhide') await done(await call('hide', { ids: [...chosen], hide: lib === 'hide' }));
    if (lib === 'delete' && !button.dataset.asked) { button.dataset.asked = 'yes'; button.textContent = button.dataset.sure.replace('{count}', chosen.size); return; }
    if (lib === 'delete') await done(await call('delete', { ids: [...chosen] }));
    if (lib === 'like') { find('dialog').close(); await browse({ like: id, words: '', page: 0, hidden: false }); find('.card')?.focus(); }
    if (lib === 'hidden') { select(true); await browse({ hidden: true, like: '', words: '', page: 0 }); }
    if (lib === 'everything') { select(false); await browse({ hidden: false, like: '', page: 0 }); }
    if (lib === 'enlarge') { find('dialog').close(); enlarge(id); }
    if (lib === 'page') await browse({ page: Number(page) });
    if (lib === 'sample') { into(find('.run'), (await call('sample')).html ?? ''); watch(); }
    if (lib === 'files') picked(await window.vignette.pick('image/*,' + find('.drop').dataset.suffixes.replaceAll(' ', ','), { multiple: true }));
    if (lib === 'folder') picked(await window.vignette.pick('', { webkitdirectory: true }));
    if (lib === 'keep') { const answer = await call('keep', { id }); if (!answer.error) { await browse(); into(find('.run'), answer.html); } }
    if (lib === 'edit') { into(find('dialog .form'), (await call('form', { id })).html ?? ''); find('dialog').showModal(); }
    if (lib === 'close') find('dialog').close();
  });
  element.addEventListener('change', (event) => {
    if (event.target.dataset.lib === 'library') { select(false); browse({ library: event.target.value, page: 0, words: '', like: '', hidden: false }); }
  });
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    const form = event.target, given = Object.fromEntries(new FormData(form));
    if (form.dataset.lib === 'search') await browse({ words: given.words, page: 0, apart: false, like: '', hidden: false });
    if (form.dataset.lib === 'index') { const answer = await call('index', given); into(find('.run'), answer.html ?? ''); if (!answer.error) watch(); }
    if (form.dataset.lib === 'save-many') {
      const answer = await call('save_many', { ids: [...chosen], values: given });
      if (answer.error) { form.querySelector('.wrong').textContent = answer.error; return; }
      find('dialog').close();
      await done(answer);
    }
    if (form.dataset.lib === 'save') {
      const answer = await call('save', { id: form.dataset.id, values: given });
      if (answer.error) { form.querySelector('.wrong').textContent = answer.error; return; }
      find('dialog').close();
      await browse();
      into(find('.run'), answer.html);
    }
  });
  browse();
  watch();
};
