// The class is this tab's own; a drawing begins at Draw, or by itself where the address says so.
const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const presets = JSON.parse(props.presets);
let begun = null, stopped = false, several = false, growing = false, takes = null, ready = '';
let suggested = ''; // without a photo
let offered = '', called = ''; // while nobody has chosen: the class of the page, and its name
let offering = null; // until that is known

// ---- what to draw ----
const classes = () => (tab.value('class') || offered).split(',').filter(Boolean);
const worded = async (index, label) => { // as addresses name a class: by its number where a name would not do
  const every = (await seeing.labels()) ?? [];
  const plain = !label.includes(',') && !/^\d+$/.test(label) && every.filter((each) => each === label).length === 1;
  return plain ? label : String(index);
};
const offer = () => { offering = follow(); };
const follow = async () => {
  if (seeing.state.tab !== tab.key) return;
  const [name] = seeing.names();
  if (name !== undefined) called = name;
  else if (!offered || !seeing.state.photo) offered = called = suggested; // of a photo on its way nothing is known
  invite(); // with the wall, so that it moves nothing
  const [target] = seeing.state.targets || [];
  await seeing.frame(); // the wall, before all classes are asked for
  if (name !== undefined) offered = await worded(target, name);
  shape();
};
const shape = () => { // what the choice of “Draw” needs, and nothing else
  const what = tab.value('what');
  for (const each of all('[data-for]')) each.hidden = !each.dataset.for.split(' ').includes(what);
  find('[data-start]').hidden = tab.value('from') !== 'photo';
  const list = find('[data-chosen]');
  list.textContent = '';
  for (const name of classes()) {
    const item = document.createElement('li'), button = document.createElement('button');
    button.type = 'button';
    button.dataset.drop = name;
    button.textContent = classes().length > 1 ? `${name} ×` : name;
    button.disabled = classes().length < 2;
    button.title = `Leave out ${name}`;
    item.append(button);
    list.append(item);
  }
  find('[data-several]').setAttribute('aria-pressed', several || classes().length > 1);
};
const invite = () => { // to draw the page's own class, first on the wall
  const tile = find('[data-offer]');
  if (!tile) return;
  tile.hidden = all('.imp-wall img + span').some((each) => each.textContent === called);
  tile.querySelector('[data-offered]').textContent = called;
  tile.querySelector('[data-soon]').textContent = takes ? `about ${takes.span}` : '';
};
const preset = () => { // its numbers stand in all fields that nobody changed
  const numbers = presets[tab.value('preset')], mine = seeing.state.settings?.impressions || {};
  for (const field of all('[data-knob]')) {
    field.dataset.first = numbers[field.name];
    field.value = mine[field.name] ?? numbers[field.name];
  }
  for (const option of all('[name="preset"] option')) {
    option.dataset.plain ||= option.textContent;
    const time = takes?.presets[option.value];
    option.textContent = option.dataset.plain + (time ? ` (about ${time} here)` : '');
  }
};
const put = (names) => {
  tab.set('class', names.join(','));
  edited();
};
const choose = (name) => { // a click on a class, in the wall or in what the search found
  if (tab.value('what') === 'fused') put([...classes().filter((each) => each !== name), name].slice(-2));
  else if (several) put([...new Set([...classes(), name])]);
  else put([name]);
};
seeing.search(find('.find input'), find('.find .found'), async (index, label) => choose(await worded(index, label)));

// ---- drawing ----
const asked = () => JSON.stringify([seeing.state.network, tab.value('from') && seeing.state.photo,
  { ...seeing.state.settings?.impressions, go: '' }]);
const edited = () => {
  if (stopped) begun = null; // whoever chooses it again means it; another photo does not
  if (tab.value('go')) tab.set('go', ''); // what is shown is no longer what is asked
  shape();
  tab.act('estimate');
};
const want = () => {
  if (seeing.state.tab !== tab.key || ready !== seeing.state.network || tab.value('go') !== '1' || asked() === begun) return;
  begun = asked();
  stopped = growing = false;
  wall(false);
  tab.place('say').scrollIntoView({ block: 'nearest' }); // settings and pictures lie below it
  tab.act('draw');
};
const wall = (shown) => {
  const pictures = Boolean(find('.imp-wall')); // names alone stay under what is drawn
  tab.place('wall').hidden = !shown && pictures;
  tab.place('sheet').hidden = tab.place('foot').hidden = shown && pictures;
  find('[data-back]').hidden = shown || !pictures || !tab.place('sheet').innerHTML;
};
const figure = (index) => find(`.imp[data-panel="${index}"]`);
const grow = (panels) => panels.forEach((panel, index) => {
  const [picture, mask] = ['picture', 'mask'].map((part) => figure(index)?.querySelector(`[data-grows=${part}]`));
  if (!picture) return;
  picture.src = picture.dataset.still = panel.picture;
  if (mask) mask.src = panel.mask;
  for (const part of ['now', 'more']) {
    const box = figure(index).querySelector(`[data-${part}]`);
    if (panel[part] || part === 'now') box.innerHTML = panel[part];
    box.classList.toggle('stale', !panel[part]);
  }
});
tab.show = (data, places, channel) => {
  if (data.ready) { ready = seeing.state.network; begun = null; shape(); preset(); wall(true); want(); }
  if (data.ready) { suggested = data.suggested; offer(); seeing.frame().then(look); }
  if (data.takes) {
    takes = data.takes;
    find('[data-takes]').textContent = takes.words;
    invite();
    preset();
  }
  if (places.sheet) wall(false);
  if (data.panels) grow(data.panels);
  if (data.finished && !takes) tab.act('estimate');
  if (channel === 'draw') growing = data.panels ? !data.finished : growing;
  if (data.film) {
    const picture = figure(data.film.panel)?.querySelector('[data-grows=picture]');
    if (picture) picture.src = data.film.url;
  }
};
tab.over = (channel) => { // stopped, or at its end
  if (channel !== 'draw') return;
  stopped = Boolean(tab.place('problem').textContent) || growing;
  if (!growing) return;
  const drawing = find('.imp-row')?.dataset.drawing;
  if (drawing) tab.act('look', { drawing });
};
// ---- the atlas ----
const look = () => {
  const some = find('[name="atlas"]').options.length > 0;
  find('[data-atlas]').hidden = !some;
  if (some) tab.act('atlas');
};
seeing.search(find('[data-atlas] .find input'), find('#found-needed'), (index) => { tab.set('needed', String(index)); tab.act('atlas'); });
find('[data-zoom]').addEventListener('input', (event) => { tab.place('atlas').style.setProperty('--zoom', event.target.value); });
tab.form = () => { shape(); preset(); };
tab.here = (name) => { if (name === 'what' || name === 'from') shape(); if (name === 'preset') preset(); if (name === 'atlas') tab.act('atlas'); };
seeing.on((what) => {
  if (what === 'seen' || what === 'state') offer();
  if (what === 'state' && seeing.state.tab === tab.key) { shape(); preset(); want(); }
});

element.addEventListener('input', (event) => { // before the address is told: nobody pressed Draw
  if (event.target.closest('[data-first]')) find('[name="go"]').value = '';
}, true);
element.addEventListener('change', (event) => { if (event.target.closest('[data-first]')) edited(); });
element.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const drawing = find('.imp-row')?.dataset.drawing, panel = +button.closest('.imp')?.dataset.panel;
  if (button.matches('[data-draw]')) {
    if (stopped) begun = null;
    if (!tab.value('class')) await offering;
    if (!tab.value('class') && tab.value('what') !== 'unit') tab.set('class', offered);
    if (tab.value('go') === '1') want(); else tab.set('go', '1');
  } else if (button.matches('[data-class], [data-offer] button')) {
    if (tab.value('what') === 'unit') tab.set('what', 'class');
    if (button.dataset.class === undefined) await offering;
    choose(button.dataset.class ?? offered);
    if (tab.value('what') === 'class' && !several) tab.set('go', '1');
  } else if (button.matches('[data-drop]')) put(classes().filter((each) => each !== button.dataset.drop));
  else if (button.matches('[data-several]')) {
    several = !(several || classes().length > 1);
    if (!several && classes().length > 1) put(classes().slice(0, 1)); else shape();
  } else if (button.matches('[data-all]')) { tab.set('needed', ''); tab.act('atlas'); }
  else if (button.matches('[data-back]')) wall(true);
  else if (button.matches('[data-take]')) tab.act('take', { drawing, panel, kind: button.dataset.take });
  else if (button.matches('[data-film]')) {
    const on = !button.value, picture = figure(panel).querySelector('[data-grows=picture]');
    Object.assign(button, on ? { textContent: 'Stand still', value: 'on' } : { textContent: 'Watch it grow', value: '' });
    if (on) tab.act('film', { drawing, panel }); else picture.src = picture.dataset.still;
  }
});
shape();
