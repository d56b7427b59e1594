/* The Library tab: pages through a library, searches it, edits words and watches an indexing run. */
window.vignette.library = (element, language, server, trigger) => {
  'use strict';
  const { into, wrong } = window.vignette;
  const find = (selector) => element.querySelector(selector);
  const state = { library: '', words: '', page: 0, apart: false };
  let watching = false;

  const call = async (name, payload = {}) => {
    const answer = await server[name]({ ui: language, ...state, ...payload });
    into(find('.toast'), wrong(answer.error));
    return answer;
  };
  const show = (answer) => {
    for (const part of ['choice', 'count', 'cards', 'pager', 'failures', 'start']) if (answer[part] !== undefined) into(find('.' + part), answer[part]);
    if (answer.library !== undefined) state.library = answer.library;
    element.classList.toggle('none', answer.none === true);
  };
  const browse = async (changes = {}) => { Object.assign(state, changes); find('.cards').setAttribute('aria-busy', 'true'); show(await call('browse')); find('.cards').removeAttribute('aria-busy'); };
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
  element.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-lib]');
    if (!button) return;
    const { lib, id, page } = button.dataset;
    if (lib === 'apart') await browse({ apart: true, page: 0 });
    if (lib === 'page') await browse({ page: Number(page) });
    if (lib === 'sample') { into(find('.run'), (await call('sample')).html ?? ''); watch(); }
    if (lib === 'edit') { into(find('dialog .form'), (await call('form', { id })).html ?? ''); find('dialog').showModal(); }
    if (lib === 'close') find('dialog').close();
  });
  element.addEventListener('change', (event) => {
    if (event.target.dataset.lib === 'library') browse({ library: event.target.value, page: 0, words: '' });
  });
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    const form = event.target, given = Object.fromEntries(new FormData(form));
    if (form.dataset.lib === 'search') await browse({ words: given.words, page: 0, apart: false });
    if (form.dataset.lib === 'index') { const answer = await call('index', given); into(find('.run'), answer.html ?? ''); if (!answer.error) watch(); }
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
