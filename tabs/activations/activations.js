// Mosaic, photo and pins: a tile or a box chooses a channel, the server tells of it.
const { body } = tab, one = (selector) => element.querySelector(selector);
const MOST = 4, KEPT = 300; // pins in view; characters that a setting may have
let about = null, chosen = null; // the layer shown, and the channel looked at
let begin;
const begun = new Promise((known) => { begin = known; }); // as soon as there is one
seeing.onPhones(one('.act'), 'act-photo', 'act-found', 'act-sheet', 'act-tools', 'act-pins', 'act-more', 'act-two');

// ---- the chosen channel ----
const number = one('[data-channel-number]');
const stale = (is, ...parts) => parts.forEach((each) => one(each).classList.toggle('stale', is)); // still of the one before
const open = (channel) => { // show it, without a word in the address
  chosen = number.value = channel;
  mosaic.mark(channel, 'sheet');
  for (const each of body.querySelectorAll('.act-sheet .bars button, .units-found button')) each.setAttribute('aria-pressed', +each.dataset.channel === channel);
  if (!seeing.state.photo) return;
  stale(true, '.act-more', '.act-two');
  tab.act('unit', { channel });
};
const choose = (channel) => {
  if (!about) return;
  open(channel);
  tab.set('unit', `${about.layer}:${channel}`);
};
const mosaic = seeing.tiles(tab, { pick: choose });
number.addEventListener('change', () => { if (number.value !== '') choose(+number.value); });
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || !about) return;
  const { channel, layer } = button.dataset;
  if (button.matches('.act-sheet .bars button, .units-found button')) choose(+channel);
  else if (button.matches('.pin-show')) {
    if (layer === about.layer) return choose(+channel);
    tab.set('unit', `${layer}:${channel}`);
    tab.set('layer', layer);
  } else if (button.matches('.pin-drop')) pin(pins().filter((each) => each !== `${layer}:${channel}`));
  else if (button.matches('[data-pin]')) add(`${about.layer}:${chosen}`);
  else if (button.matches('[data-look]')) {
    const impressions = { what: 'unit', layer: about.layer, channel: String(chosen), go: '1' };
    seeing.set({ tab: 'impressions', settings: { ...seeing.state.settings, impressions } });
  }
});

// ---- the survey's first figure, whatever is looked at: photo, camera or clip ----
const survey = { network: 'alexnet', layer: 'conv5' }, there = () => about?.network === survey.network && about.layer === survey.layer;
one('[data-survey]').addEventListener('click', () => {
  const { network, settings } = seeing.state, other = network !== survey.network;
  const activations = { ...settings.activations, layer: survey.layer, sort: 'index' };
  seeing.set({ settings: { ...settings, activations }, ...(other && { network: survey.network, targets: null, against: null }) });
});

// ---- pins: “lite0|bn2:49,bn2:7;resnet18|layer4:3”, of each network its own ----
const groups = () => (tab.value('pins') || '').split(';').filter(Boolean).map((each) => {
  const cut = each.lastIndexOf('|');
  return [each.slice(0, cut), each.slice(cut + 1).split(',').filter(Boolean)];
});
const pins = () => groups().find(([network]) => network === about?.network)?.[1] || [];
const pin = (mine) => {
  const others = groups().filter(([network]) => network !== about.network);
  const text = () => [...others, [about.network, mine]].filter(([, list]) => list.length).map(([network, list]) => `${network}|${list}`).join(';');
  while (others.length && text().length > KEPT) others.shift();
  tab.set('pins', text());
  if (seeing.state.photo) tab.act('pin', { pins: text() });
};
const add = (unit) => {
  const mine = pins();
  if (mine.includes(unit) || about.flat || chosen === null) return;
  if (mine.length >= MOST) return tab.tell(`${MOST} units are pinned: remove one of them first.`);
  tab.tell('');
  pin([...mine, unit]);
};

// ---- a box on the photo ----
const area = one('.act-picture'), frame = one('.act-box');
let box = null, from = null;
const show = () => {
  frame.hidden = !box;
  if (box) Object.assign(frame.style, { left: box[0] * 100 + '%', top: box[1] * 100 + '%', width: (box[2] - box[0]) * 100 + '%', height: (box[3] - box[1]) * 100 + '%' });
};
const point = (event) => seeing.point(event, area);
const ask = () => { if (box && seeing.state.photo) tab.act('find', { box }); };
const over = () => { from = null; area.classList.remove('drawing'); };
area.addEventListener('pointerdown', (event) => {
  if (!seeing.state.photo || about?.flat || body.matches('.live-on')) return;
  from = point(event);
  area.setPointerCapture(event.pointerId);
  area.focus({ preventScroll: true });
  event.preventDefault();
});
area.addEventListener('pointermove', (event) => {
  if (!from) return;
  const to = point(event);
  box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
  area.classList.add('drawing');
  show();
});
area.addEventListener('pointerup', () => {
  if (!from) return;
  over();
  if (box && box[2] - box[0] > 0.01 && box[3] - box[1] > 0.01) ask();
});
area.addEventListener('pointercancel', over);
area.addEventListener('keydown', (event) => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === 'Enter') ask();
  else if (event.key === 'Escape') { box = null; show(); }
  else if (move) {
    box = box || [0.3, 0.3, 0.7, 0.7];
    const size = event.shiftKey ? 0 : 1;
    const next = box.map((v, i) => v + (i < 2 ? size : 1) * move[i % 2] * 0.04);
    if (next[0] > -0.001 && next[1] > -0.001 && next[2] < 1.001 && next[3] < 1.001 && next[2] - next[0] > 0.03 && next[3] - next[1] > 0.03) box = next;
    show();
  } else return;
  event.preventDefault();
});

// ---- a clip ----
const film = one('[data-clip-box]'), video = film.querySelector('video'), save = one('[data-clip-save]');
const state = one('[data-state]');
const say = (text) => { state.textContent = text; state.classList.remove('act-first'); };
let taken = 0, others = ''; // a word on files that came with it
const PANEL = 320, GAPS = 12; // pixels: the longer side of each of its three pictures; between them
const shape = async (file) => { // of the three, so that their room is there before they are; '' where the browser can't tell
  const probe = document.createElement('video'), url = URL.createObjectURL(file);
  await new Promise((known) => Object.assign(probe, { onloadedmetadata: known, onerror: known, src: url }));
  const { videoWidth: width, videoHeight: height } = probe, scale = Math.min(1, PANEL / Math.max(width, height));
  probe.removeAttribute('src');
  URL.revokeObjectURL(url);
  return width ? (3 * width * scale + GAPS) / (height * scale) : '';
};
const make = async (files) => {
  const [file, word] = seeing.one(files, 'video/');
  if (!file) return;
  const mine = ++taken;
  others = word;
  tab.tell('');
  forget();
  say('The clip is on its way …');
  film.style.setProperty('--film', await shape(file));
  await begun;
  if (mine !== taken) return;
  film.hidden = !film.style.getPropertyValue('--film') && !file.type.startsWith('video/'); // what is no clip opens nothing
  let at;
  try { at = await seeing.persist(() => seeing.upload(file, 'clip', 100), () => mine === taken, say); } catch (error) {
    if (mine === taken) { forget(); say(error); }
    return;
  }
  if (mine !== taken) return;
  film.hidden = false;
  say(`${others} Photo, unit and Grad-CAM side by side:`);
  const answer = await tab.act('clip', { file: at, channel: chosen ?? 0 });
  if (mine === taken && answer?.problem) { forget(); say(''); } // there is nothing side by side
};
const forget = () => {
  if (save.href) URL.revokeObjectURL(save.href);
  save.removeAttribute('href');
  video.removeAttribute('src');
  tab.place('clip').innerHTML = '';
  film.hidden = video.hidden = save.hidden = true;
};
const play = (data) => {
  save.href = video.src = URL.createObjectURL(new Blob([seeing.bytes(data.video)], { type: 'video/mp4' }));
  film.hidden = video.hidden = save.hidden = false;
  say(`${others} ${data.frames} frames; the clip itself is deleted already. ${data.note || ''}`);
};
one('[data-clip]').addEventListener('change', (event) => { make(event.target.files); event.target.value = ''; });
one('[data-clip-open]').addEventListener('click', () => one('[data-clip]').click());
one('[data-clip-close]').addEventListener('click', () => {
  const stop = film.querySelector('[data-cancel]');
  if (!stop.value) stop.click(); // stopped already, it would go on
  taken += 1; // what is still on its way
  forget();
  say('');
});
for (const name of ['dragover', 'drop']) one('.act-top').addEventListener(name, (event) => {
  event.preventDefault();
  if (name === 'drop') make(event.dataTransfer?.files);
});

// ---- what the server says ----
const fit = () => {
  const [width, height] = seeing.seen?.size || [4, 3], photo = one('[data-photo]');
  body.style.setProperty('--shape', `${width} / ${height}`);
  body.style.setProperty('--ratio', width / height);
  const source = seeing.current() ? seeing.seen.picture || '' : '';
  if (source && photo.src !== source) photo.src = source;
  photo.hidden = !seeing.state.photo;
};
tab.asked = () => { box = null; show(); };
tab.show = (data, places, channel) => {
  if (data.sheet) {
    about = data.sheet;
    one('[data-survey]').disabled = there();
    number.max = about.most;
    number.disabled = false;
    begin();
    body.classList.toggle('flat', about.flat);
    one('[data-look]').disabled = !('channel' in about);
    one('[data-pin]').disabled = about.flat || !('channel' in about);
    if ('channel' in about) open(about.channel); else chosen = null;
  }
  if (places.crops) stale(false, '.act-more');
  if (places.examples) stale(false, '.act-two');
  if ('best' in data) choose(data.best);
  if (data.video) play(data);
};
tab.over = (channel) => { if (channel === 'unit') stale(false, '.act-more', '.act-two'); };
seeing.on((what) => {
  if (what === 'seen' || what === 'state') fit();
  if (what !== 'state' || seeing.state.tab !== tab.key || !about) return;
  const [, layer, channel] = (tab.value('unit') || '').match(/^(.*):(\d+)$/) || []; // a link, or Back
  if (layer === about.layer && +channel !== chosen && +channel <= about.most && 'channel' in about) open(+channel);
});
fit();
