// Network, tour and link; and on a phone what the tabs are about, and the dock.
const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const { escape } = seeing;
const menu = find('[data-networks]');
const start = JSON.parse(props.start);
let networks = JSON.parse(props.known), failed = '', away = '', polling = null, early = null;
let before = null; // the last network that answered, and what it was asked

seeing.begin(start);

// ---- networks ----
const draw = () => {
  const { state, seen } = seeing, now = networks.find((each) => each.key === state.network);
  const title = now?.title || (seen?.network === state.network && seen.title) || state.network; // typed by somebody since
  for (const each of all('[data-network-name]')) each.textContent = title;
  menu.querySelector('summary').setAttribute('aria-label', `Network: ${title}`);
  const names = seeing.names().join(', '), tab = document.querySelector(`#tab-${state.tab}-button`)?.textContent.trim();
  find('[data-class-name]').textContent = names || '…';
  document.title = [names, tab, 'Seeing Why'].filter(Boolean).join(' · '); // where Back and Forward lead, by name
  const thumb = find('[data-thumb]'), picture = seeing.current() ? seen.picture : '';
  thumb.style.visibility = picture ? '' : 'hidden'; // its room is kept
  if (picture && thumb.src !== picture) thumb.src = picture;
  if (!menu.open) return;
  const alert = (text) => (text ? `<li class="problem" role="alert">${escape(text)}</li>` : '');
  const html = alert(away) + networks.map((each) => `<li><button type="button" data-key="${escape(each.key)}" aria-pressed="${each.key === state.network}"><b>${escape(each.title)}</b>
    <small>${[each.task, each.stands].filter(Boolean).map(escape).join(' · ')}</small><small>${escape(each.state === 'failed' ? each.message : each.remark)}</small></button></li>`).join('')
    + alert(failed);
  const list = find('[data-list]');
  if (list.innerHTML !== html) list.innerHTML = html;
};
const ask = async () => {
  try { networks = (await server.networks('')).networks || networks; } catch { return; }
  draw();
  seeing.tell('networks');
};
const poll = () => { // only while somebody looks
  clearTimeout(polling);
  if (!menu.open) return;
  ask().then(() => { polling = setTimeout(poll, 1500); });
};
const use = (key) => {
  const task = (name) => networks.find((each) => each.key === name)?.task;
  const same = task(key) && task(key) === task(seeing.state.network);
  seeing.set({ network: key, targets: same ? seeing.state.targets : null, against: same ? seeing.state.against : null, step: null });
};
seeing.away = (sentence) => { // it can't be had: back to the one before, and the menu says why
  if (!before || before.network === seeing.state.network) {
    seeing.absent = seeing.state.network;
    seeing.tell('absent');
    return false;
  }
  away = sentence;
  menu.open = true;
  seeing.set({ ...before, step: null }, 'replace');
  menu.querySelector('.menu-body').scrollTop = 0;
  return true;
};
menu.addEventListener('toggle', () => { if (!menu.open) failed = away = ''; draw(); poll(); });
document.addEventListener('click', (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
menu.addEventListener('keydown', (event) => { if (event.key === 'Escape') { menu.open = false; menu.querySelector('summary').focus(); } });
find('[data-list]').addEventListener('click', (event) => {
  const button = event.target.closest('[data-key]');
  if (!button) return;
  menu.open = false;
  use(button.dataset.key);
});
find('[data-hub]')?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await server.add(find('[data-hub-id]').value).catch(() => ({ problem: 'The server did not answer: please try again.' }));
  failed = answer.problem || '';
  if (answer.networks) networks = answer.networks;
  if (answer.key) { menu.open = false; use(answer.key); }
  draw();
});

// ---- tour and link ----
find('[data-tour]').addEventListener('click', () => seeing.tell('tour'));
find('[data-link]').addEventListener('click', async (event) => {
  const own = seeing.state.photo?.own ? 'Copied, without your photo' : 'Copied';
  const said = await navigator.clipboard?.writeText(location.href).then(() => own, () => null) ?? 'It is the address above';
  event.target.textContent = said;
  seeing.hear(said);
  setTimeout(() => { event.target.textContent = 'Copy link'; }, 2500);
});

// ---- a double click takes one file ----
document.addEventListener('click', (event) => {
  if (event.detail > 1 && event.target.closest?.('[data-take], [data-report], .tiles-save')) event.stopImmediatePropagation();
}, true);

// ---- a phone's bar and dock ----
const narrow = matchMedia('(width < 64em)'), still = matchMedia('(prefers-reduced-motion: reduce)');
let opener = null;
seeing.sheet = (open, where = '.rail') => { // the rail: the focus goes there, and back to what opened it
  const sheet = document.querySelector('#rail-side'), was = sheet.classList.contains('open'), covers = open && narrow.matches;
  sheet.classList.toggle('open', open);
  for (const each of document.querySelectorAll('#stage-side, header.bar, footer')) each.inert = covers;
  Object.assign(sheet, { role: covers ? 'dialog' : null, ariaModal: covers || null, ariaLabel: covers ? 'Photo and classes' : null });
  if (covers && !was) opener = document.activeElement;
  const focus = () => { // as soon as it is visible: Gradio has a transition for that, of each part after the one around it
    const first = sheet.classList.contains('open') && sheet.querySelector(`${where} :is(button, [tabindex="0"])`);
    if (!first) return; // closed at once
    first.focus({ preventScroll: true });
    if (!sheet.contains(document.activeElement)) requestAnimationFrame(focus);
  };
  if (covers) focus();
  else if (was) opener?.focus({ preventScroll: true });
  if (!open) opener = null;
};
narrow.addEventListener('change', () => seeing.sheet(false));
const rail = (where) => {
  seeing.sheet(true, where);
  document.querySelector(where)?.scrollIntoView({ block: 'start' });
};
find('[data-open-rail]').addEventListener('click', () => rail('.rail'));
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  seeing.sheet(false);
  menu.open = false; // which opens by itself, too
});
document.addEventListener('click', (event) => { // the dock stands at the page's end
  const what = event.target.closest('.dock button')?.dataset.dock;
  if (what === 'photo') rail('.rail .pick');
  if (what === 'classes') rail('.rail .sees');
  if (what === 'camera') seeing.openCamera();
  if (what === 'adjust') {
    const tab = document.querySelector(`#${CSS.escape(seeing.state.tab)}-tab`), folded = tab?.querySelector('.adjust');
    const adjust = folded ?? tab?.querySelector('.field'); // of a card all settings stand open
    if (!adjust) return; // the tab has yet to come
    if (folded) folded.open = true;
    adjust.scrollIntoView({ behavior: still.matches ? 'auto' : 'smooth', block: 'center' });
    adjust.querySelector(folded ? 'summary' : 'select, input').focus({ preventScroll: true });
  }
});

// ---- paper is white ----
let dark = false;
addEventListener('beforeprint', () => { dark = document.body.classList.contains('dark'); document.body.classList.remove('dark'); });
addEventListener('afterprint', () => document.body.classList.toggle('dark', dark));

// ---- a tab that Gradio has yet to draw: what it is going to ask is asked meanwhile ----
const asks = (tab) => JSON.stringify([tab, seeing.stamp(), seeing.state.settings?.[tab]]);
const ahead = (tab) => {
  const comes = seeing.fresh && tab === start.tab; // with the page
  if (comes || early?.asks === asks(tab) || document.querySelector(`#${CSS.escape(tab)}-tab`)) return;
  const question = { ...seeing.asked(), visit: seeing.visit, settings: seeing.state.settings?.[tab] || {},
    form: start.network, knows: seeing.knows() };
  early = { asks: asks(tab), since: performance.now(), answer: server.ahead({ tab, question }).catch(() => null) };
};
seeing.early = async (tab) => { // null where the tab has to ask by itself
  const fresh = early?.asks === asks(tab) && performance.now() - early.since < 5000;
  const given = fresh && await early.answer;
  early = null;
  return given && !given.busy ? given : null;
};

// ---- the tabs: Gradio's own, kept in step with the address ----
const button = () => document.querySelector(`#tabs [data-tab-id="${CSS.escape(seeing.state.tab)}"]`);
const centre = () => requestAnimationFrame(() => { // a phone shows a part of the strip; measured when all that changes has changed
  const tab = button(), strip = tab?.parentElement;
  if (strip) strip.scrollLeft = tab.offsetLeft + tab.offsetWidth / 2 - strip.clientWidth / 2;
});
const follow = () => {
  const tab = button(), there = tab?.getAttribute('aria-selected') === 'true';
  if (!there) ahead(seeing.state.tab);
  if (tab && !there) tab.click();
  centre();
  return there;
};
let wide = innerWidth;
addEventListener('resize', () => { if (wide !== innerWidth) centre(); wide = innerWidth; }); // a bar of the browser’s own that comes or goes moves nothing
const clicked = (event) => event.target.closest('#tabs [role="tab"]')?.dataset.tabId;
document.addEventListener('click', (event) => { // before Gradio, which draws the tab at once
  if (clicked(event)) ahead(clicked(event));
}, true);
document.addEventListener('click', (event) => {
  const tab = clicked(event);
  if (tab && tab !== seeing.state.tab) seeing.set({ tab });
});
document.addEventListener('click', (event) => { // a link to a card, without loading the page anew
  const link = event.target.closest('.tab-body :is(a[data-unit], a[data-class])');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  seeing.set({ tab: 'cards', settings: { ...seeing.state.settings, cards: { ...link.dataset } } });
  document.querySelector('#cards-tab .say')?.focus({ preventScroll: true }); // of another card, as of another page
});
const name = () => { // what Gradio leaves without a name; and the Tab key comes to the chosen one alone
  const tabs = [...document.querySelectorAll('#tabs [role="tab"]')];
  tabs[0]?.parentElement.setAttribute('aria-label', 'Questions to the network');
  for (const tab of tabs) {
    tab.tabIndex = tab.dataset.tabId === seeing.state.tab ? 0 : -1;
    document.getElementById(tab.getAttribute('aria-controls'))?.setAttribute('aria-labelledby', tab.id);
  }
};
document.addEventListener('keydown', (event) => { // arrows between tabs, as everywhere
  const now = event.target.closest?.('#tabs [role="tab"]');
  const tabs = [...document.querySelectorAll('#tabs [role="tab"]')], at = tabs.indexOf(now);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
  if (!now || to === undefined) return;
  const next = tabs.at(to % tabs.length);
  event.preventDefault();
  next.focus();
  next.click();
});
let photo = JSON.stringify(seeing.state.photo);
seeing.on((what) => {
  if (seeing.current()) before = Object.fromEntries(['network', 'targets', 'against'].map((name) => [name, seeing.state[name]]));
  if (what === 'state') {
    follow();
    if (JSON.stringify(seeing.state.photo) !== photo) seeing.sheet(false);
    photo = JSON.stringify(seeing.state.photo);
  }
  if (what === 'drawn') document.getElementById('first')?.remove(); // the sign that the page is on its way
  name();
  draw();
});
draw();
const first = (tries) => { if (!follow() && tries) setTimeout(first, 50, tries - 1); };
first(400); // Gradio draws the tabs a little later, on a busy machine a lot
