/* The Chat tab: asks through the paper's room and shows what it says. */
window.vignette.chat = (element, upload) => {
  'use strict';
  const { session, into, pick } = window.vignette;
  const form = element.querySelector('form');
  const about = form.querySelector('select');
  const stop = form.querySelector('[data-client=chat-stop]');
  const log = element.querySelector('.log');
  let file = '';

  const show = (told) => {
    const there = Boolean(told?.order?.length);
    form.hidden = !there;
    element.querySelector('.none').hidden = there;
    if (!there) return;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    into(log, told.talk);
    stop.hidden = !log.querySelector('.growing');
    if (atEnd) log.scrollTop = log.scrollHeight;
    const options = JSON.stringify([told.pictures, told.paragraphs]);
    if (about.shown === options) return;
    about.shown = options;
    const chosen = about.value, index = about.selectedIndex;
    const group = (label, all) => {
      const made = Object.assign(document.createElement('optgroup'), { label });
      made.append(...all);
      return all.length ? [made] : [];
    };
    about.replaceChildren(
      new Option(about.dataset.article, ''), ...group(about.dataset.pictures, told.pictures.map(([id, caption]) => new Option(caption, id))),
      ...group(about.dataset.paragraphs, told.paragraphs.map(([text, start]) => new Option(start, 'text:' + text))),
    );
    /* A paragraph that was changed is still the one that is spoken of. */
    if ([...about.options].some((option) => option.value === chosen)) about.value = chosen;
    else about.selectedIndex = chosen.startsWith('text:') && about.options[index]?.value.startsWith('text:') ? index : 0;
    paragraph();
  };
  /* Of a paragraph a change can be asked for, which is then accepted or rejected. */
  const change = form.querySelector('[data-client=chat-change]');
  const chosenText = () => (about.value.startsWith('text:') ? about.value.slice(5) : null);
  const paragraph = () => { change.hidden = chosenText() === null; };
  const propose = () => {
    const box = form.querySelector('textarea'), wish = box.value.trim(), text = chosenText();
    if (!wish || text === null) return;
    box.value = '';
    const at = Math.max(0, session.sheet.paragraphs.findIndex(([other]) => other === text));
    session.paper.act('propose', { at, was: text, action: 'revise', wish });
  };
  about.addEventListener('change', paragraph);
  change.addEventListener('click', propose);
  log.addEventListener('click', (event) => {
    const button = event.target.closest('.proposed [data-do]');
    if (!button) return;
    const { at, source } = button.closest('.proposed').dataset, { do: action, ...own } = button.dataset;
    session.paper.act(action, { ...own, at: Number(at), was: source });
  });
  const ask = async () => {
    const box = form.querySelector('textarea');
    const question = box.value.trim();
    if (!question) return;
    box.value = '';
    const path = file ? (await upload(file)).path : '';
    file = '';
    form.querySelector('.file').textContent = '';
    session.paper.act('ask', { question, picture: path || chosenText() !== null ? '' : about.value, upload: path });
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
