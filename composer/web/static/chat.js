/* The Chat tab: asks through the paper's room and shows what it says. */
window.vignette.chat = (element, upload) => {
  'use strict';
  const { session, into, pick } = window.vignette;
  const form = element.querySelector('form');
  const about = form.querySelector('select');
  const stop = form.querySelector('[data-client=chat-stop]');
  let file = '';

  const show = (told) => {
    const there = Boolean(told?.order?.length);
    form.hidden = !there;
    element.querySelector('.none').hidden = there;
    if (!there) return;
    const log = element.querySelector('.log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    into(log, told.talk);
    stop.hidden = !log.querySelector('.growing');
    if (atEnd) log.scrollTop = log.scrollHeight;
    const options = JSON.stringify(told.pictures);
    if (about.shown === options) return;
    about.shown = options;
    const chosen = about.value;
    about.replaceChildren(new Option(about.dataset.article, ''), ...told.pictures.map(([id, caption]) => new Option(caption, id)));
    about.value = told.pictures.some(([id]) => id === chosen) ? chosen : '';
  };
  const ask = async () => {
    const box = form.querySelector('textarea');
    const question = box.value.trim();
    if (!question) return;
    box.value = '';
    const path = file ? (await upload(file)).path : '';
    file = '';
    form.querySelector('.file').textContent = '';
    session.paper.act('ask', { question, picture: path ? '' : about.value, upload: path });
  };
  stop.addEventListener('click', () => session.paper.act('stop_answers', {}));
  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && event.target.tagName === 'TEXTAREA' && !event.isComposing) { event.preventDefault(); ask(); }
  });
  form.querySelector('[data-client=chat-file]').addEventListener('click', async () => {
    [file] = await pick('image/*');
    form.querySelector('.file').textContent = file ? file.name : '';
  });
  session.onsheet = show;
  show(session.sheet);
};
