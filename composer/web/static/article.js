/* The article on the page: shows what the server sends, block by block, and turns clicks and keys into actions.
   Actions run one after another; nothing is shown that the server has not said. */
window.vignette.paper = (element, draft, language, server, upload) => {
  'use strict';
  const { session, fragment, into, store, stored, fileItems, wrong } = window.vignette;
  const find = (selector) => element.querySelector(selector);
  const sheet = find('.sheet');
  const PACE_MS = 50;  /* a model may be faster than anyone reads */
  let version = -1, active = false, following = false, chain = Promise.resolve(), edit = null, received = 0, busy = false;

  const say = (text) => into(find('.toast'), wrong(text));
  const known = () => [...sheet.children].filter((b) => b !== edit?.block && !b.stale).map((b) => b.dataset.key);
  const at = (block) => Number(block.dataset.at);
  const blockAt = (kind, index) => [...sheet.children].find((b) => b.dataset.kind === kind && at(b) === index);

  /* Talking to the server */

  const call = async (name, payload = {}) => {
    for (;;) {
      try {
        const answer = await server[name]({ owner: session.owner, draft: session.draft, ui: language, version, known: known(), ...payload });
        if (!answer) throw new Error('no answer');
        element.classList.remove('lost');
        return answer;
      } catch (error) {
        if (!element.isConnected) throw error;
        element.classList.add('lost');
        if (edit) store('unsaved', JSON.stringify({ draft: session.draft, source: edit.source, text: edit.typed.value(), action: edit.action }));
        await new Promise((resolve) => setTimeout(resolve, 700));
        /* A server that was started again knows no session of this page: only a new page gets one. Not again and
           again, should the server be there but fail. */
        const there = await fetch(location.pathname, { cache: 'no-store' }).then((r) => r.ok, () => false);
        if (there && Date.now() - Number(stored('reloaded')) > 15000) { store('reloaded', Date.now()); location.reload(); }
      }
    }
  };
  /* A payload that is a function is asked when its turn has come. */
  const act = (action, payload = {}) => {
    chain = chain.catch(() => {}).then(async () => {
      const told = await call('act', { do: action, ...(payload.call ? payload() : payload) });
      if (action === 'look') { apply(told); return; }
      say(told.error);
      apply(told.error ? await call('act', { do: 'look' }) : told);
    });
    return chain;
  };
  /* What a block shows: by this the server knows what is meant, should another window have moved or changed it. */
  const shows = (block) => block.dataset.picture ?? (block.dataset.kind === 'empty' ? block.dataset.wish : block.dataset.source) ?? '';
  const follow = async () => {
    if (following) return;
    following = true;
    while (active && element.isConnected) {
      const [answer] = await Promise.all([call('follow'), new Promise((resolve) => setTimeout(resolve, PACE_MS))]);
      if (answer.version !== version || !answer.active) apply(answer);
    }
    following = false;
  };

  /* Showing what it says */

  const apply = (told) => {
    if (told.error) { find('.gone').textContent = told.error; active = false; window.vignette.standing(false); return; }
    version = told.version;
    received = performance.now();
    if (told.draft && told.draft !== session.draft || version === 0) window.vignette.opened(told.draft);
    const focus = focused();
    const held = new Map();
    for (const block of sheet.children) {
      if (!held.has(block.dataset.key)) held.set(block.dataset.key, []);
      held.get(block.dataset.key).push(block);
    }
    const wanted = [];
    for (const [key, kind, index, after] of told.order) {
      const free = held.get(key)?.filter((b) => b !== edit?.block) ?? [];
      let block = edit && edit.kind === kind && edit.index === index ? edit.block : free.find((b) => !b.stale);
      if (!block && told.html[key]) block = fragment(told.html[key]).firstElementChild;
      else block ??= free[0];  /* what stood there before it was edited: the answer to the edit is on its way */
      if (!block) { act('look'); return; }
      held.get(block.dataset.key)?.splice(held.get(block.dataset.key).indexOf(block), 1);
      Object.assign(block.dataset, { key, kind, at: index, after });
      wanted.push(block);
    }
    /* What is gone goes first, so that a block in which somebody types need not be moved: that would end the typing. */
    for (const old of [...sheet.children]) if (!wanted.includes(old) && old !== edit?.block) old.remove();
    let cursor = sheet.firstChild;
    for (const block of wanted) {
      if (block === cursor) cursor = cursor.nextSibling;
      else sheet.insertBefore(block, cursor);
    }
    into(find('.status'), told.status);
    into(find('.bar'), told.bar);
    marks();
    busy = told.busy;
    element.classList.toggle('busy', busy);
    element.setAttribute('aria-busy', busy);
    if (told.title) document.title = told.title + ' · Vignette';
    find('.above .name').textContent = told.title || told.about;
    outline.show(told.outline);
    window.vignette.standing(told.busy || told.order.length > 0 || Boolean(told.outline));
    for (const block of sheet.children) ends(block, told.sections);
    refocus(focus);
    tick();
    session.sheet = told;
    session.onsheet?.(told);
    active = told.active;
    if (active) follow();
  };
  /* What nobody has checked is marked, unless that was turned off here. */
  const marks = () => {
    const off = Boolean(stored('unmarked')), box = find('.bar [data-client=marks]');
    element.classList.toggle('unmarked', off);
    if (box) box.checked = !off;
  };
  /* What leads nowhere at either end of the article cannot be pressed. */
  const ends = (block, sections) => {
    if (block.dataset.kind !== 'section') return;
    const off = { '[data-delta="-1"]': at(block) === 0, '[data-delta="1"]': at(block) === sections - 1, '[data-do=merge_sections]': at(block) === sections - 1 };
    for (const [which, yes] of Object.entries(off)) { const button = block.querySelector(which); if (button) button.disabled = yes; }
  };
  const signature = (control) => JSON.stringify([control.className, control.dataset.do, control.dataset.client, control.dataset.action, control.dataset.id, control.dataset.delta, control.dataset.name]);
  const focused = () => {
    const control = document.activeElement;
    const block = control?.closest?.('.piece');
    if (control && find('.bar')?.contains(control)) return { bar: signature(control) };
    return block && sheet.contains(block) ? { block, kind: block.dataset.kind, index: at(block), control: control === block ? '' : signature(control) } : null;
  };
  const refocus = (focus) => {
    if (!focus || (document.activeElement && document.activeElement !== document.body && element.contains(document.activeElement))) return;
    if (focus.bar) { [...find('.bar').querySelectorAll('button')].find((b) => signature(b) === focus.bar && !b.disabled)?.focus({ preventScroll: true }); return; }
    const wanted = session.follow ?? focus.index;
    const block = focus.block.isConnected ? focus.block : blockAt(focus.kind, wanted) ?? blockAt('figure', wanted) ?? blockAt('empty', wanted);
    if (!block) return;
    activate(block);
    const control = [...block.querySelectorAll('button, select, summary')].find((b) => signature(b) === focus.control) ?? block;
    const menu = control.closest('details');
    if (menu && control.tagName !== 'SUMMARY') menu.open = true;
    control.focus({ preventScroll: true });
  };
  const tick = () => {
    const time = find('.status .time');
    if (!time) return;
    const since = (performance.now() - received) / 1000;
    const left = time.dataset.left === undefined ? null : Math.max(1, Math.round(Number(time.dataset.left) - since));
    time.textContent = time.dataset.elapsed.replace('{seconds}', Math.round(Number(time.dataset.seconds) + since)) +
      (left === null ? '' : ' · ' + time.dataset.remaining.replace('{seconds}', left));
  };
  const clock = setInterval(() => { if (!element.isConnected) clearInterval(clock); else tick(); }, 500);

  /* Which block's tools are shown: the one pointed at or in use */

  const beside = matchMedia('(min-width: 1180px)');
  let shown = null;
  const activate = (block) => {
    if (block === shown) return;
    shown?.classList.remove('active');
    shown = block;
    shown?.classList.add('active');
  };
  sheet.addEventListener('pointerover', (event) => {
    const block = event.target.closest('.piece');
    const choosing = document.activeElement?.matches?.('.piece select, .piece textarea');
    if (event.pointerType === 'mouse' && beside.matches && block && !choosing) activate(block);
  });
  sheet.addEventListener('focusin', (event) => activate(event.target.closest('.piece')));

  /* Text in place */

  const begin = (block, { host, source, action, label, index = at(block), caret, point, inHead = false, payload = {}, single = false, marks = false }) => {
    if (edit) finish();
    if (busy || document.documentElement.classList.contains('reading')) return;
    const words = marks ? find('.words').dataset : null;
    const asked = { source, label, words, language: block.querySelector('.vignette')?.lang ?? '', shown: host };
    const typed = (words && window.vignette.richFields(asked)) || window.vignette.fields(asked);
    host.classList.add('replaced');
    host.after(typed.root);
    edit = { block, host, typed, source, action, payload, single, kind: block.dataset.kind, index, typing: 't' + Math.random(), timer: 0, sent: source, was: action === 'edit_text' ? source : shows(block) };
    block.classList.toggle('writing', marks);
    listen(typed);
    if (typed.headLength === undefined) typed.open(point);
    else typed.open(caret, inHead);
  };
  const listen = (typed) => {
    typed.root.addEventListener('changed', () => { clearTimeout(edit?.timer); if (edit) edit.timer = setTimeout(send, 800); });
    typed.root.addEventListener('left', () => { if (edit?.typed === typed) finish(); });
    typed.root.addEventListener('done', () => { const { block } = edit; finish(); block.focus({ preventScroll: true }); });
    typed.root.addEventListener('source', () => asMarkdown(typed));
  };
  /* The same text with its marks to be seen. */
  const asMarkdown = (typed) => {
    const { block } = edit;
    const raw = window.vignette.fields({ source: typed.value(), label: block.dataset.label, words: find('.words').dataset, language: typed.root.lang });
    edit.typed = raw;
    typed.root.replaceWith(raw.root);
    listen(raw);
    raw.open();
  };
  const send = (last = false) => {
    const { typed, action, payload, index, typing, sent } = edit;
    const text = last === 'restored' ? (action === 'add_section' ? '' : edit.source) : typed.value();
    if (text === sent || (!text.trim() && ['edit_text', 'set_title', 'add_section'].includes(action))) return;
    if (action === 'add_section' && !last) return;  /* a paragraph is added once, when it is finished */
    edit.sent = text;
    const one = action === 'add_section' ? {} : { typing }, own = edit;
    act(action, () => ({ at: index, text, was: own.was, ...one, ...payload }))
      .then(() => { if (action === 'edit_text') own.was = text; });
  };
  const finish = (restore = false) => {
    const done = edit;
    if (!done) return;
    clearTimeout(done.timer);
    send(restore ? 'restored' : 'last');
    edit = null;
    done.typed.root.remove();
    done.host.classList.remove('replaced');
    done.block.classList.remove('writing');
    if (done.action === 'add_section') done.host.remove();
    /* What stands there now is old: the server's next answer brings the new block. */
    if (done.sent !== done.source) { done.block.stale = true; act('look'); }
  };
  const caretIn = (source, shownText, offset) => {
    if (source.trim() === shownText.trim()) return Math.min(offset, source.length);
    const before = shownText.slice(Math.max(0, offset - 14), offset);
    const near = before ? source.indexOf(before) : -1;
    return near < 0 ? source.length : near + before.length;
  };
  const editText = (block, event) => {
    const host = block.querySelector('.text'), source = block.dataset.source, title = block.dataset.kind === 'title';
    const heading = title ? null : host.querySelector(':scope > :is(h1, h2, h3, h4, h5, h6):first-child');
    let caret;
    const spot = event && document.caretRangeFromPoint?.(event.clientX, event.clientY);
    const inHead = Boolean(heading && event && heading.contains(event.target));
    if (spot && host.contains(spot.startContainer) && !inHead) {
      const before = document.createRange(), whole = document.createRange();
      whole.selectNodeContents(host);
      if (heading) whole.setStartAfter(heading);
      before.setStart(whole.startContainer, whole.startOffset);
      before.setEnd(spot.startContainer, spot.startOffset);
      const body = heading ? source.replace(/^#[^\n]*\n+/, '') : source;
      caret = caretIn(body, whole.toString().replace(/^\s+/, ''), before.toString().replace(/^\s+/, '').length);
    }
    const point = event && { x: event.clientX, y: event.clientY };
    begin(block, { host, source, caret, point, inHead, label: block.dataset.label, action: title ? 'set_title' : 'edit_text', single: title, marks: !title });
  };
  const addBelow = (block) => {
    const host = document.createElement('div');
    block.querySelector('.text').after(host);
    begin(block, { host, source: '', label: find('.words').dataset.newParagraph, action: 'add_section', marks: true });
  };
  const editCaption = (block) => {
    let host = block.querySelector('figcaption .caption');
    if (!host) { host = document.createElement('span'); block.querySelector('figure').append(host); }
    begin(block, { host, source: block.dataset.source, label: block.dataset.label, action: 'set_caption', single: true });
  };
  const editAlt = (block) => {
    const host = block.querySelector('[data-client=alt]').closest('.row');
    begin(block, { host, source: block.dataset.alt, label: block.dataset.altLabel, action: 'set_alt', single: true });
  };
  sheet.addEventListener('keydown', (event) => {
    const block = event.target.closest('.piece');
    if (edit && edit.typed.root.contains(event.target)) {
      if (event.isComposing) return;
      const away = event.key === 'Escape' || (event.key === 'Enter' && (edit.single || event.ctrlKey || event.metaKey));
      if (away) { event.preventDefault(); finish(event.key === 'Escape'); block.focus({ preventScroll: true }); }
      event.stopPropagation();
      return;
    }
    if (event.target !== block) return;
    if (event.key === 'Enter' && block.dataset.source !== undefined && !block.classList.contains('locked')) {
      event.preventDefault();
      block.dataset.kind === 'figure' ? editCaption(block) : editText(block);
    }
    const step = { ArrowUp: 'previousElementSibling', ArrowDown: 'nextElementSibling' }[event.key];
    if (step && block[step]) { event.preventDefault(); block[step].focus(); }
  });
  sheet.addEventListener('click', (event) => {
    const block = event.target.closest('.piece');
    if (block?.dataset.kind === 'figure' && event.target.matches('figure img')) { enlarge(block); return; }
    if (!block || event.target.closest('a, button, select, textarea, .fields, .tools, .offer') || !getSelection().isCollapsed) return;
    if (block.classList.contains('locked')) return;
    if (event.target.closest('.text')) editText(block, event);
    else if (event.target.closest('figcaption .caption')) editCaption(block);
  });
  element.ownerDocument.addEventListener('keydown', (event) => {
    if (!element.isConnected || !(event.ctrlKey || event.metaKey) || event.target.closest('input, textarea, select, dialog')) return;
    const key = event.key.toLowerCase();
    const step = key === 'z' ? (event.shiftKey ? 'redo' : 'undo') : key === 'y' ? 'redo' : '';
    if (step) { event.preventDefault(); act(step); }
  });

  /* Buttons */

  const values = (button, block) => {
    const { do: action, client, ...own } = button.dataset;
    for (const field of block?.querySelectorAll('.tools [data-name]') ?? []) own[field.dataset.name] = field.value;
    if (own.action && own.action !== 'translate') delete own.language;
    if (own.action && own.action !== 'rewrite') delete own.tone;
    session.follow = undefined;
    if (!block) return own;
    own.at = at(block);
    own.was = shows(block);
    if (own.delta) {
      const from = action === 'move_picture' ? Number(block.dataset.after) : own.at;
      own.to = from + Number(own.delta);
      if (action === 'move_section') session.follow = own.to;
      delete own.delta;
    }
    return own;
  };
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!button || button.getAttribute('aria-pressed') === 'true') return;
    const block = button.closest('.piece');
    if (button.dataset.do) act(button.dataset.do, values(button, block));
    else clients[button.dataset.client]?.(block, button);
  });
  element.addEventListener('change', (event) => {
    if (event.target.dataset.client === 'refit') act('refit', { count: event.target.value });
    if (['width', 'side'].includes(event.target.dataset.client)) resize(event.target);
    if (event.target.dataset.client === 'marks') { store('unmarked', event.target.checked ? '' : '1'); marks(); }
  });
  /* Beside text a picture takes half of the column at most: what was chosen last counts. */
  const resize = (select) => {
    const block = select.closest('.piece'), of = (name) => block.querySelector(`[data-client=${name}]`).value;
    const width = of('width'), side = select.dataset.client === 'width' && Number(width) > 0.5 ? '' : of('side');
    act('set_size', { at: at(block), was: shows(block), width, side });
  };
  /* What a reader will see, and nothing else. */
  const reading = (yes) => {
    if (edit) finish();
    document.documentElement.classList.toggle('reading', yes);
    activate(null);
    if (yes) scrollTo(0, 0);
    (yes ? find('.leave') : find('.bar [data-client=read]'))?.focus();
  };
  element.ownerDocument.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && element.isConnected && !document.querySelector('dialog[open]') && document.documentElement.classList.contains('reading')) reading(false);
  });
  const enlarge = async (block) => {
    const figures = [...sheet.children].filter((each) => each.dataset.kind === 'figure');
    const pictures = figures.map((each) => {
      const image = each.querySelector('figure img');
      return { src: image.src, alt: image.alt, caption: each.dataset.source, credit: each.querySelector('.credit')?.textContent ?? '' };
    });
    const seen = figures[await window.vignette.enlarge(pictures, figures.indexOf(block))];
    seen?.scrollIntoView({ block: 'nearest' });
    seen?.focus({ preventScroll: true });
  };
  const clients = {
    edit: (block) => editText(block),
    add: (block) => addBelow(block),
    caption: (block) => editCaption(block),
    alt: (block) => editAlt(block),
    enlarge,
    read: () => reading(!document.documentElement.classList.contains('reading')),
    search: (block) => openFinder('show_picture', block),
    insert: (block) => openFinder('insert_picture', block),
    close: () => finder.close(),
    example: async () => look({ example: await sent(await window.vignette.pick('image/*')) }),
    own: async () => take((await window.vignette.pick('image/*'))[0]),
    pick: (_, button) => chosen(button.dataset.id),
    export: async (_, button) => {
      button.closest('details').open = false;
      const file = await chain.then(() => call('export', { format: button.dataset.format }));
      if (file.error) { say(file.error); return; }
      const link = Object.assign(document.createElement('a'), { href: file.url, download: file.name });
      document.body.append(link);
      link.click();
      link.remove();
      say((file.notes || []).join(' '));
    },
  };

  window.vignette.dragging(sheet, { act, shows, idle: () => !busy && !edit });

  /* Finding a picture */

  const finder = find('dialog');
  let target = null;
  const openFinder = (action, block) => {
    target = { action, at: at(block), was: shows(block), section: Number(block.dataset.after) };
    finder.querySelector('input').value = block.dataset.wish || '';
    into(finder.querySelector('.found'), '');
    finder.querySelector('.found').shown = '';
    finder.showModal();
    if (block.dataset.wish) look({ words: block.dataset.wish });
  };
  const look = async (asked) => {
    if (asked.example === undefined && !asked.words) return;
    const found = finder.querySelector('.found');
    found.setAttribute('aria-busy', 'true');
    const answer = await chain.then(() => call('find', { ...asked, section: target.section }));
    found.removeAttribute('aria-busy');
    into(found, answer.error ? wrong(answer.error) : answer.html);
  };
  const sent = async (files) => (files.length ? (await upload(files[0])).path : undefined);
  const chosen = (id) => { finder.close(); return act(target.action, { at: target.at, was: target.was, id }); };
  const take = async (file) => {
    if (!file) return;
    const answer = await call('take', { path: (await upload(file)).path });
    if (answer.error) { finder.open ? into(finder.querySelector('.found'), wrong(answer.error)) : say(answer.error); return; }
    await chosen(answer.id);
  };
  finder.addEventListener('submit', (event) => { event.preventDefault(); look({ words: finder.querySelector('input').value }); });
  for (const place of [sheet, finder]) {
    place.addEventListener('dragover', (event) => {
      const block = event.target.closest('.figure, .empty, dialog');
      if (block && fileItems(event).length && !busy) { event.preventDefault(); block.classList.add('dropping'); }
    });
    place.addEventListener('dragleave', (event) => event.target.closest('.dropping')?.classList.remove('dropping'));
    place.addEventListener('drop', (event) => {
      const block = event.target.closest('.figure, .empty, dialog');
      if (!block || busy) return;
      event.preventDefault();
      block.classList.remove('dropping');
      if (block !== finder) target = { action: 'show_picture', at: at(block), was: shows(block), section: Number(block.dataset.after) };
      take(event.dataTransfer.files[0]);
    });
  }

  /* Another window may have changed what this one shows. */
  addEventListener('focus', () => { if (element.isConnected && version >= 0) act('look'); });

  /* What was typed while the server was away */

  const unsaved = () => {
    const kept = stored('unsaved') && JSON.parse(stored('unsaved'));
    if (!kept || kept.draft !== session.draft || kept.action !== 'edit_text') return;
    const block = [...sheet.children].find((b) => b.dataset.source === kept.source);
    if (block && kept.text !== kept.source) act('edit_text', { at: at(block), text: kept.text }).then(() => store('unsaved', ''));
  };

  const outline = window.vignette.outline(find('.outline'), act);
  session.paper = { act, call, upload };
  window.vignette.opened(draft);
  window.vignette.asking(false);
  window.vignette.standing(true);
  act('look').then(unsaved);
};
