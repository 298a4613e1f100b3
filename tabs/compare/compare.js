// Cards that fill as the work goes on, their order, what stands beside, the box on the photo.
const find = (selector) => element.querySelector(selector);
const smallIsGood = JSON.parse(props.sorts);
let values = {}, boxedOn = '';

// ---- slots, and the best first ----
const fill = (slots) => {
  for (const [key, html] of Object.entries(slots))
    for (const slot of element.querySelectorAll(`[data-slot="${CSS.escape(key)}"]`))
      if (slot.innerHTML !== html) slot.innerHTML = html;
};
const sort = () => {
  const by = tab.value('sort'), sign = smallIsGood[by] ? 1 : -1;
  const rank = (method) => { const value = values[`0:${method}`]?.[by]; return value === undefined ? Infinity : sign * value; };
  for (const list of element.querySelectorAll('.compare-cells, .compare-scores tbody')) {
    const items = [...list.children];
    items.forEach((item, i) => { item.dataset.listed ??= i; });
    const order = by === 'listed' || !(by in smallIsGood) ? items.toSorted((a, b) => a.dataset.listed - b.dataset.listed)
      : items.toSorted((a, b) => rank(a.dataset.method) - rank(b.dataset.method) || a.dataset.listed - b.dataset.listed);
    if (order.some((item, i) => item !== items[i])) list.append(...order);
  }
};

// ---- a method in its own tab ----
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-open]');
  if (!button) return;
  const { tab: home, settings, state } = JSON.parse(button.dataset.open), all = seeing.state.settings || {};
  seeing.set({ ...state, tab: home, settings: { ...all, [home]: { ...all[home], ...settings } } });
});

// ---- what stands beside ----
const beside = find('[data-beside]'), named = find('.compare-find');
const showBeside = () => {
  const now = tab.value('beside') || '';
  if (now && ![...beside.options].some((option) => option.value === now)) beside.add(new Option(now.split(':')[1], now));
  beside.value = now;
  named.hidden = true;
};
// Two networks: the room of their maps is there from the click on, so that these push nothing away;
// a verdict of each stands below them, over its own cards.
const pair = find('.pair'), verdicts = ['verdict', 'doubts'].map(tab.place);
let roomFor = '';
const lay = () => {
  pair.hidden = !tab.place('pair').innerHTML;
  pair.style.setProperty('--shape', (seeing.seen?.size || [4, 3]).join('/'));
  if (pair.hidden) find('.compare-work').before(...verdicts); else pair.after(...verdicts);
};
const room = () => {
  const now = seeing.state.settings?.compare?.beside || '', place = tab.place('pair');
  if (now !== roomFor && now.startsWith('network:') && !place.innerHTML)
    place.innerHTML = `<p class="pair-say pair-asks">The other network is asked the same.</p>${props.frame}`;
  roomFor = now;
  lay();
};
beside.addEventListener('change', () => {
  named.hidden = beside.value !== 'find';
  if (beside.value === 'find') named.querySelector('input').focus();
  else tab.set('beside', beside.value);
});
seeing.search(named.querySelector('input'), named.querySelector('ul'), (index, label) => {
  beside.add(new Option(label, `class:${index}`));
  beside.value = `class:${index}`;
  named.hidden = true;
  tab.set('beside', beside.value);
});

// ---- the box ----
const area = find('.box-photo'), fields = [...element.querySelectorAll('.box-fields input')], photo = find('[data-photo]');
const share = (value) => Math.min(1, Math.max(0, value));
const box = () => fields.map((field) => share(+field.value / 100));
const usable = (b) => fields.every((field) => field.value !== '') && b[2] - b[0] >= 0.005 && b[3] - b[1] >= 0.005;
const drawBox = () => {
  const b = box(), there = usable(b);
  tab.body.classList.toggle('boxed', there);
  ['x', 'y', 'w', 'h'].forEach((name, i) => tab.body.style.setProperty('--box-' + name, there ? (i < 2 ? b[i] : b[i] - b[i - 2]) * 100 + '%' : '0'));
};
const typed = () => (usable(box()) ? fields.map((field) => field.value).join(',') : '');
const tell = () => {
  drawBox();
  boxedOn = JSON.stringify(seeing.state.photo);
  tab.set('box', typed());
  tab.act('box', { box: usable(box()) ? box() : null });
};
const showBox = () => { // as the address says it
  const given = (tab.value('box') || '').split(',');
  fields.forEach((field, i) => { field.value = given.length === 4 && given[i] !== '' && isFinite(given[i]) ? given[i] : ''; });
  drawBox();
};
const point = (event) => seeing.point(event, area);
let from = null;
area.addEventListener('pointerdown', (event) => { from = point(event); area.setPointerCapture(event.pointerId); event.preventDefault(); });
area.addEventListener('pointermove', (event) => {
  if (!from) return;
  const to = point(event), b = [0, 1].map((i) => Math.min(from[i], to[i])).concat([0, 1].map((i) => Math.max(from[i], to[i])));
  fields.forEach((field, i) => { field.value = Math.round(b[i] * 1000) / 10; });
  drawBox();
});
area.addEventListener('pointerup', () => { if (from && usable(box())) tell(); from = null; });
area.addEventListener('pointercancel', () => { from = null; });
find('.box-fields').addEventListener('input', drawBox);
find('.box-fields').addEventListener('change', () => { if (usable(box())) tell(); });
find('[data-unbox]').addEventListener('click', () => { fields.forEach((field) => { field.value = ''; }); tell(); });

// ---- the sanity check and the report ----
find('[data-forget]').addEventListener('click', async (event) => {
  const button = event.currentTarget; // one check at a time: Cancel stands beside it
  button.disabled = true;
  for (const name of ['remembered', 'forgotten']) tab.place(name).innerHTML = '';
  await tab.act('forget');
  button.disabled = false;
});
find('[data-report]').addEventListener('click', () => tab.act('report', { box: tab.value('box') }));

tab.here = (name) => { if (name === 'sort') sort(); };
tab.form = () => { showBeside(); showBox(); };
tab.over = (channel) => {
  if (channel === 'forget') find('[data-forget]').disabled = false;
  if (channel === '' && seeing.state.tab === tab.key) seeing.hear(tab.place('verdict').innerText); // not at each of its measurements
};
tab.asked = () => { // a box belongs to its photo
  const now = JSON.stringify(seeing.state.photo);
  if (boxedOn && boxedOn !== now && typed()) { tab.set('box', ''); fields.forEach((field) => { field.value = ''; }); }
  boxedOn = now;
  showBox();
};
tab.show = (data, places, channel) => {
  if (channel === '' && places.boxed === '' && typed()) tab.act('box', { box: box() }); // drawn since it was asked
  if (data.new) values = {};
  if ('offers' in places) showBeside();
  if ('pair' in places) lay();
  for (const [key, numbers] of Object.entries(data.values || {})) values[key] = { ...values[key], ...numbers };
  if (data.slots) fill(data.slots);
  if (data.new || data.values) sort();
};
const look = () => { if (seeing.seen?.picture && photo.src !== seeing.seen.picture) photo.src = seeing.seen.picture; };
seeing.on((what) => { if (what === 'seen') look(); else if (what === 'state' && seeing.state.tab === 'compare') { showBeside(); room(); showBox(); sort(); } });
look();
room();
