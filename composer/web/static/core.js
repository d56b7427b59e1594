/* What all parts of the page share: whose drafts these are, which one is open, the theme. Sets window.vignette. */
window.vignette = (() => {
  'use strict';
  const stored = (name) => { try { return localStorage.getItem('vignette.' + name) || ''; } catch { return ''; } };
  const store = (name, value) => { try { localStorage.setItem('vignette.' + name, value); } catch { /* private mode */ } };

  const token = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  };
  const owner = /^[\w-]{43}$/.test(stored('owner')) ? stored('owner') : token();
  store('owner', owner);

  const asked = new URLSearchParams(location.search);
  const session = { owner, draft: asked.get('draft') || '', paper: null, sheet: null };

  /* What the server is told when the page opens. */
  const greeting = () => [owner, session.draft, stored('language'), asked.get('article') || ''];

  const open = (draft) => { location.search = draft ? '?draft=' + encodeURIComponent(draft) : ''; };
  const opened = (draft) => {
    session.draft = draft;
    const address = new URL(location.href);
    address.searchParams.set('draft', draft);
    address.searchParams.delete('article');
    history.replaceState(null, '', address);
  };

  const dark = (yes) => {
    document.body.classList.toggle('dark', yes);
    document.documentElement.style.colorScheme = yes ? 'dark' : 'light';
  };
  const theme = () => {
    const yes = !document.body.classList.contains('dark');
    store('theme', yes ? 'dark' : 'light');
    dark(yes);
  };
  /* Gradio sets the system's theme whenever it gets to mount; the reader's own choice stands. */
  const keepTheme = () => {
    const keep = () => {
      const wanted = stored('theme');
      if (wanted && (wanted === 'dark') !== document.body.classList.contains('dark')) dark(wanted === 'dark');
    };
    new MutationObserver(keep).observe(document.body, { attributes: true, attributeFilter: ['class'] });
    keep();
  };
  if (document.body) keepTheme();
  else addEventListener('DOMContentLoaded', keepTheme);

  /* While an article stands, the form for the next one is one line, until it is asked for. */
  const form = () => document.getElementById('ask');
  const asking = (yes) => {
    document.documentElement.classList.toggle('asking', yes);
    for (const button of document.querySelectorAll('[data-page=ask]')) button.setAttribute('aria-expanded', yes);
  };
  const standing = (yes) => document.documentElement.classList.toggle('standing', yes);
  standing(Boolean(session.draft));
  const toggleForm = () => {
    const yes = !document.documentElement.classList.contains('asking');
    asking(yes);
    const field = form()?.querySelector('#instruction textarea');
    if (yes && field) { field.focus(); field.select(); field.scrollIntoView({ block: 'center' }); }
  };
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !document.documentElement.classList.contains('asking') || !form()?.contains(event.target)) return;
    asking(false);
    document.querySelector('[data-page=ask]')?.focus();
  });

  /* An example becomes what is wished for. */
  const wish = (words) => {
    form()?.querySelector('#mode input[value=write]')?.click();
    const field = form()?.querySelector('#instruction textarea');
    if (!field) return;
    field.value = words;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    field.focus();
  };
  /* The files among what is dragged. */
  const fileItems = (event) => [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === 'file');
  /* A file dropped on the text is taken as one dropped beside it. */
  const ontoText = (event) => event.target.closest?.('#text') && fileItems(event).length > 0;
  document.addEventListener('dragover', (event) => { if (ontoText(event)) event.preventDefault(); });
  document.addEventListener('drop', (event) => {
    const input = document.querySelector('#text-file input[type=file]');
    if (!ontoText(event) || !input) return;
    event.preventDefault();
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });

  /* HTML of the server's own making, in which everything from outside is escaped. */
  const fragment = (html) => { const t = document.createElement('template'); t.innerHTML = html; return t.content; };
  const into = (element, html) => { if (element && element.shown !== html) { element.innerHTML = element.shown = html; } };

  /* An error of the server's, which a screen reader announces. */
  const wrong = (words) => {
    const line = Object.assign(document.createElement('p'), { className: 'message error', textContent: words });
    line.setAttribute('role', 'alert');
    return words ? line.outerHTML : '';
  };

  /* The files of what was dropped, each with its path within the folder. */
  const within = async (entry, before) => {
    if (entry instanceof File) return [{ file: entry, relative: entry.name }];
    if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), relative: before + entry.name }];
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return found;
      for (const each of some) found.push(...await within(each, before + entry.name + '/'));
    }
  };
  const filesOf = async (items) => {
    /* Before anything is waited for: then the items are gone. */
    const entries = items.map((item) => { const entry = item.webkitGetAsEntry?.(); return entry?.isDirectory ? entry : item.getAsFile(); });
    const found = [];
    for (const entry of entries) found.push(...await within(entry, ''));
    return found;
  };

  /* Files a person picks; resolves to [] where the dialogue is left. */
  const pick = (accept, more = {}) => new Promise((resolve) => {
    const input = document.createElement('input');
    Object.assign(input, { type: 'file', accept, ...more });
    input.addEventListener('change', () => resolve([...input.files]));
    input.addEventListener('cancel', () => resolve([]));
    input.className = 'unseen';
    document.body.append(input);
    input.click();
    setTimeout(() => input.remove(), 60000);
  });

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-page]');
    if (!button) return;
    if (button.dataset.page === 'theme') theme();
    if (button.dataset.page === 'ask') toggleForm();
    if (button.dataset.page === 'wish') wish(button.textContent);
    if (button.dataset.page === 'library') document.querySelectorAll('#tabs [role=tab]')[1]?.click();
    if (button.dataset.page === 'open') open(button.dataset.draft || '');
  });
  /* One menu open at a time; Escape and a click elsewhere close it. */
  const closeMenus = (but) => document.querySelectorAll('details.menu[open]').forEach((menu) => { if (menu !== but) menu.open = false; });
  document.addEventListener('click', (event) => closeMenus(event.target.closest('details.menu')));
  document.addEventListener('keydown', (event) => {
    const menu = document.activeElement?.closest?.('details.menu[open]');
    if (event.key === 'Escape' && menu) { menu.open = false; menu.querySelector('summary').focus(); }
  });

  /* The list of a person's drafts. */
  const drafts = (element, language, server, upload) => {
    const search = element.querySelector('.drafts input[type=search]'), listed = element.querySelector('.listed');
    const dates = () => {
      const format = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' });
      for (const time of element.querySelectorAll('time:empty')) time.textContent = format.format(new Date(time.dateTime));
    };
    const list = async (name, more = {}) => {
      const answer = await server[name]({ owner, ui: language, words: search?.value ?? '', ...more });
      element.querySelector('.toast').innerHTML = answer.error ? wrong(answer.error) : '';
      if (!answer.error) { listed.innerHTML = answer.html; dates(); }
    };
    /* The name is typed where it stands. */
    const rename = (button) => {
      const row = button.closest('li'), link = row.querySelector('.link'), field = document.createElement('input');
      Object.assign(field, { value: link.textContent, maxLength: 120, className: 'name' });
      field.setAttribute('aria-label', button.getAttribute('aria-label'));
      let over = false;
      const end = async (keep) => {
        if (over) return;
        over = true;
        field.replaceWith(link);
        if (keep && field.value.trim() !== link.textContent) await list('rename', { draft: button.dataset.rename, name: field.value });
        element.querySelector(`[data-rename="${button.dataset.rename}"]`)?.focus();
      };
      field.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !event.isComposing) end(true); if (event.key === 'Escape') end(false); });
      field.addEventListener('blur', () => end(true));
      link.replaceWith(field);
      field.select();
    };
    element.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (button?.dataset.drop) list('drop', { draft: button.dataset.drop });
      if (button?.dataset.rename) rename(button);
      if (button?.dataset.every !== undefined) list('listed', { every: true });
    });
    let wait = 0;
    search?.addEventListener('input', () => { clearTimeout(wait); wait = setTimeout(() => list('listed'), 250); });
    dates();
    /* A saved article that is dropped anywhere on the empty page, with its folder or alone, is opened. */
    const open_ = async (event) => {
      if (!element.isConnected) { document.removeEventListener('drop', open_); return; }
      if (event.defaultPrevented || event.target.closest('#library, #chat')) return;
      const items = fileItems(event);
      if (!items.length) return;
      event.preventDefault();
      const found = await filesOf(items);
      const own = found.filter(({ relative }) => /(^|\/)article\.json$|(^|\/)images\/[^/]+$/.test(relative));
      const files = [];
      for (const { file, relative } of own) files.push({ relative, path: (await upload(file)).path });
      const answer = await server.open({ owner, files, ui: language });
      if (answer.error) element.querySelector('.toast').innerHTML = wrong(answer.error);
      else open(answer.draft);
    };
    document.addEventListener('drop', open_);
    document.addEventListener('dragover', (event) => { if (element.isConnected && !event.target.closest('#library, #chat')) event.preventDefault(); });
  };

  return { session, stored, store, greeting, opened, open, fragment, into, pick, fileItems, filesOf, standing, asking, drafts, wrong };
})();
