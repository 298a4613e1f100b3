// The stage: photo and maps composed here, so that colours, scale, heat and pointing ask nobody.
const stage = element.querySelector('.stage'), words = element.querySelector('[data-here-words]'), acts = element.querySelector('[data-here-acts]');
const { bytes, escape } = seeing, LONGEST = 448, WALK = 0.02;
const tables = JSON.parse(props.tables); // colour tables from the server: name -> base64 of RGBA
let layout = null, maps = {}, same = '', place = null, pinned = false, raw = false, wipe = null;

const numbers = (map) => {
  if (map.values || !map.cells) return map;
  map.values = new Float32Array(bytes(map.cells).buffer);
  return map;
};
const size = () => {
  const [width, height] = seeing.seen?.size || [4, 3], scale = LONGEST / Math.max(width, height);
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
};
const top = (key, map) => {
  if (tab.value('scale') !== 'shared') return map.top;
  const method = key.split(':')[0];
  return Math.max(...Object.entries(maps).filter(([k]) => k.split(':')[0] === method).map(([, m]) => m.top || 0));
};
// The value of a map at a place (fractions of the photo), between cell centres; null outside.
const at = (map, x, y) => {
  const [left, up, right, down] = map.frame, u = (x - left) / (right - left), v = (y - up) / (down - up);
  if (!(u >= 0 && u <= 1 && v >= 0 && v <= 1)) return null;
  if (map.pixels) {
    const { width, height, data } = map.pixels;
    const i = 4 * (Math.min(height - 1, Math.floor(v * height)) * width + Math.min(width - 1, Math.floor(u * width)));
    return Math.max(...[0, 1, 2].map((c) => Math.abs(data[i + c] - 128))) / 127 * map.top;
  }
  if (!map.values) return null;
  const [rows, cols] = map.size;
  const fx = Math.min(cols - 1, Math.max(0, u * cols - 0.5)), fy = Math.min(rows - 1, Math.max(0, v * rows - 0.5));
  const x0 = Math.floor(fx), y0 = Math.floor(fy), x1 = Math.min(cols - 1, x0 + 1), y1 = Math.min(rows - 1, y0 + 1);
  const tx = fx - x0, ty = fy - y0, get = (r, c) => map.values[r * cols + c];
  return (get(y0, x0) * (1 - tx) + get(y0, x1) * tx) * (1 - ty) + (get(y1, x0) * (1 - tx) + get(y1, x1) * tx) * ty;
};
const table = (both) => bytes(tables[both ? 'both' : tab.value('colours')] || Object.values(tables)[0]);

// ---- painting ----
const inks = (both) => new Uint32Array(table(both).buffer);
// A grid of values as w × h steps of a colour table, between cell centres.
const grid = (map, w, h, full, both, out) => {
  const [rows, cols] = map.size, ink = inks(both), line = new Float32Array(cols), { values } = map;
  const place = (n, count) => Array.from({ length: n }, (_, i) => {
    const at = Math.min(count - 1, Math.max(0, (i + 0.5) / n * count - 0.5)), from = Math.floor(at);
    return [from, Math.min(count - 1, from + 1), at - from];
  });
  const across = place(w, cols), left = Int32Array.from(across, (p) => p[0]), right = Int32Array.from(across, (p) => p[1]), share = Float32Array.from(across, (p) => p[2]);
  const gain = full > 0 ? (both ? 127.5 : 255) / full : 0, zero = both ? 127.5 : 0;
  let i = 0;
  for (const [up, down, part] of place(h, rows)) {
    for (let c = 0; c < cols; c++) line[c] = (values[up * cols + c] * (1 - part) + values[down * cols + c] * part) * gain + zero;
    for (let x = 0; x < w; x++, i++) {
      const step = line[left[x]] + (line[right[x]] - line[left[x]]) * share[x];
      out[i] = ink[step <= 0 ? 0 : step >= 255 ? 255 : (step + 0.5) | 0];
    }
  }
};
const fine = (map, full, colour, out) => { // values at every pixel: their colours, or how large they are
  const from = map.pixels.data, ink = inks(false), gain = full > 0 ? map.top / full : 0;
  for (let i = 0, k = 0; k < out.length; i += 4, k++) {
    const r = from[i] - 128, g = from[i + 1] - 128, b = from[i + 2] - 128;
    if (colour) out[k] = 0xff000000 | ((b * gain + 128) << 16) | ((g * gain + 128) << 8) | (r * gain + 128);
    else out[k] = ink[Math.min(255, Math.max(Math.abs(r), Math.abs(g), Math.abs(b)) / 127 * gain * 255 + 0.5) | 0];
  }
};
const pixels = async (map) => {
  const image = new Image();
  image.src = map.png;
  await image.decode();
  const sheet = new OffscreenCanvas(image.width, image.height).getContext('2d', { willReadFrequently: true });
  sheet.drawImage(image, 0, 0);
  map.pixels = sheet.getImageData(0, 0, image.width, image.height);
};
const paint = async (key) => {
  const map = numbers(maps[key]);
  if (!map || map.absent) return;
  if (map.png && !map.pixels) await pixels(map);
  const canvas = stage.querySelector(`canvas[data-key="${CSS.escape(key)}"]`);
  if (!canvas || maps[key] !== map) return;
  const [width, height] = size(), [left, up, right, down] = map.frame;
  const box = [Math.round(left * width), Math.round(up * height), Math.round((right - left) * width), Math.round((down - up) * height)];
  const colour = Boolean(map.pixels) && tab.value('gradients') === 'colour';
  const [w, h] = map.pixels ? [map.pixels.width, map.pixels.height] : [box[2], box[3]];
  const picture = new ImageData(w, h), out = new Uint32Array(picture.data.buffer);
  if (map.pixels) fine(map, top(key, map), colour, out); else grid(map, w, h, top(key, map), layout.both, out);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.classList.toggle('opaque', colour);
  const ink = canvas.getContext('2d');
  ink.clearRect(0, 0, width, height);
  if (box[2] < width || box[3] < height) { // the network never saw what is outside the frame
    ink.fillStyle = 'rgba(0, 0, 0, .59)';
    ink.fillRect(0, 0, width, height);
    ink.clearRect(...box);
  }
  if (w === box[2] && h === box[3]) ink.putImageData(picture, box[0], box[1]);
  else ink.drawImage(await createImageBitmap(picture), ...box);
  canvas.dataset.painted = (+canvas.dataset.painted || 0) + 1;
};
const repaint = () => Object.keys(maps).forEach(paint);

// ---- layout: the photo under each map; CAM and Grad-CAM in one tile where they are the same ----
const cells = () => layout.cells.filter((cell) => !(same && cell.method === 'cam'));
const figure = (cell, row) => {
  const key = `${cell.method}:${row}`, map = maps[key], absent = cell.absent || map?.absent;
  const inner = absent ? `<p class="absent">${escape(absent)}</p>`
    : `<img src="${seeing.seen?.picture || ''}" alt="" draggable="false"><canvas data-key="${key}"></canvas><span class="dot" hidden></span><span class="tip" hidden></span>`;
  return `<figure class="map${absent ? ' undefined' : map ? '' : ' waiting'}" data-key="${key}">
    <div class="picture" ${absent ? '' : `tabindex="0" role="application" aria-label="${escape(spoken(cell, map))}"`}>${inner}</div>${caption(cell, map, absent)}</figure>`;
};
const title = (cell) => (same && cell.method === 'gradcam' ? `${cell.title} = CAM` : cell.title);
const spoken = (cell, map) => `${map?.alt || `${title(cell)} is on its way`} Arrow keys walk over it, Enter pins, Plus makes it large.`;
const caption = (cell, map, absent) => `<figcaption><b>${escape(title(cell))}</b> <small title="Time beyond the shared forward pass">${map?.took || ''}</small>${absent ? '' : '<button type="button" class="plain enlarge" data-enlarge>Large</button>'}
  <p>${escape(cell.caption)}${same && cell.method === 'gradcam' ? ` CAM is the same map here. <button type="button" class="why" data-words="${escape(same)}" aria-label="Why? ${escape(same)}">?</button>` : ''}</p>${(map ? map.png : cell.fine && !absent) ? props.fine : ''}
  ${(map?.notes || []).map((note) => `<p class="note">${escape(note)}</p>`).join('')}</figcaption>`;
let structure = '';
// Another class on the same photo: the figures stay, their words and canvases change.
const refresh = () => layout.rows.forEach((row, index) => {
  stage.querySelectorAll('.row-note')[index].textContent = row.note;
  cells().forEach((cell) => again(cell, index));
});
const again = (cell, index) => {
  const key = `${cell.method}:${index}`, old = stage.querySelector(`.map[data-key="${CSS.escape(key)}"]`);
  old.classList.toggle('waiting', !maps[key]);
  if (!maps[key]) delete old.querySelector('canvas').dataset.painted;
  describe(old, cell, key);
};
const describe = (old, cell, key) => {
  old.querySelector('figcaption').outerHTML = caption(cell, maps[key]);
  old.querySelector('.picture').setAttribute('aria-label', spoken(cell, maps[key]));
};
const arrange = () => {
  if (!layout) return;
  const [width, height] = size(), shown = cells(), large = tab.value('large');
  const plain = layout.rows.length === 1 && !shown.some((cell) => cell.absent || maps[`${cell.method}:0`]?.absent);
  const before = structure;
  structure = JSON.stringify([plain || layout.rows, shown, large, Boolean(same), seeing.seen?.picture]);
  if (plain && before === structure && stage.firstChild) { refresh(); legend(); repaint(); return mark(); }
  const big = shown.find((cell) => cell.method === large) || null;
  stage.dataset.view = big ? 'large' : 'side';
  stage.style.setProperty('--shape', `${width} / ${height}`);
  stage.style.setProperty('--count', Math.min(3, Math.max(1, shown.length)));
  stage.innerHTML = layout.rows.map((row, index) => {
    const order = big ? [big, ...shown.filter((cell) => cell !== big)] : shown;
    const head = layout.rows.length > 1 ? `<h3>${escape(row.name)} <span>${row.chance}</span></h3>` : '';
    return `<section class="row" aria-label="${escape(row.name)}">${head}<div class="cells">${order.map((cell) => figure(cell, index)).join('')}</div><p class="note row-note">${escape(row.note)}</p></section>`;
  }).join('');
  for (const button of element.querySelectorAll('[data-layout]'))
    button.setAttribute('aria-pressed', String((button.dataset.layout === 'large') === Boolean(big)));
  legend();
  repaint();
  mark();
};
const legend = () => {
  stage.dataset.fine = tab.value('gradients');
  const ramp = table(layout.both), stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => `rgb(${ramp.slice(4 * i, 4 * i + 3).join()})`);
  const [low, high] = layout.both ? ['against it', 'for it']
    : ['nothing', layout.rows.length > 1 && tab.value('scale') === 'shared' ? 'strongest of all rows' : 'strongest'];
  element.querySelector('[data-legend]').innerHTML = `<span>${low}</span><i role="img" aria-label="Colours from ${low} to ${high}" style="background:linear-gradient(90deg,${stops})"></i><span>${high}</span>`;
};

// ---- the same place on all maps ----
const mark = () => {
  const said = [];
  for (const figure of stage.querySelectorAll('.map')) {
    const dot = figure.querySelector('.dot'), tip = figure.querySelector('.tip'), key = figure.dataset.key, map = maps[key];
    if (!dot) continue;
    dot.hidden = tip.hidden = !place || !map;
    if (!place) figure.classList.remove('lens');
    if (!place || !map) continue;
    const value = at(numbers(map), ...place), share = value === null ? null : value / (map.top || 1);
    const text = value === null ? 'not seen' : raw ? value.toPrecision(3) : map.top > 0 ? `${Math.round(100 * share)} %` : '0 %';
    Object.assign(dot.style, { left: place[0] * 100 + '%', top: place[1] * 100 + '%' });
    Object.assign(tip.style, { left: Math.min(80, place[0] * 100) + '%', top: (place[1] > 0.85 ? place[1] * 100 - 12 : place[1] * 100 + 3) + '%' });
    tip.textContent = text;
    dot.classList.toggle('pinned', pinned);
    said.push(`${figure.querySelector('b').textContent} ${text}`);
    lens(figure);
  }
  if (!place) return;
  words.textContent = said.join(' · ');
  acts.innerHTML = `<button type="button" class="plain" data-raw>${raw ? 'Share of the strongest' : 'Raw values'}</button>${pinned ? ' <button type="button" class="plain" data-unpin>Unpin</button>' : ''}`;
};
const lens = (figure) => {
  const on = element.querySelector('[data-lens]').getAttribute('aria-pressed') === 'true';
  figure.classList.toggle('lens', on);
  for (const layer of figure.querySelectorAll('img, canvas'))
    layer.style.transformOrigin = `${place[0] * 100}% ${place[1] * 100}%`;
};
const hint = words.textContent;
const forget = () => { pinned = false; place = null; words.textContent = hint; acts.textContent = ''; };
const where = (event) => {
  const picture = event.target.closest('.picture');
  return picture && seeing.point(event, picture);
};
const swiped = (target) => /pan-x|manipulation/.test(getComputedStyle(target.closest('.picture')).touchAction); // by a finger that moves
stage.addEventListener('pointermove', (event) => {
  const now = where(event);
  if (!now) return;
  if (wipe !== null && event.buttons) return setWipe(now[0]);
  if (pinned || (event.pointerType !== 'mouse' && (!event.buttons || swiped(event.target)))) return;
  place = now;
  mark();
});
stage.addEventListener('pointerleave', () => { if (!pinned) { place = null; mark(); } });
stage.addEventListener('click', (event) => {
  const figure = event.target.closest('.map');
  if (!figure) return;
  if (event.target.closest('[data-enlarge]') || (stage.dataset.view === 'large' && figure !== figure.parentNode.firstElementChild)) {
    tab.set('large', figure.dataset.key.split(':')[0]);
    return arrange();
  }
  const now = where(event);
  if (!now || wipe !== null) return;
  pinned = !pinned || event.pointerType !== 'mouse';
  place = now;
  mark();
});
stage.addEventListener('keydown', (event) => {
  const step = { ArrowLeft: [-WALK, 0], ArrowRight: [WALK, 0], ArrowUp: [0, -WALK], ArrowDown: [0, WALK] }[event.key];
  const figure = event.target.closest('.map');
  if (!figure || !event.target.closest('.picture')) return;
  if (step) place = (place || [0.5, 0.5]).map((v, i) => Math.min(1, Math.max(0, v + step[i])));
  else if (event.key === 'Enter' || event.key === ' ') { place = place || [0.5, 0.5]; pinned = !pinned; }
  else if (event.key === 'Escape') forget();
  else if (event.key === '+') { tab.set('large', figure.dataset.key.split(':')[0]); arrange(); }
  else return;
  event.preventDefault();
  mark();
});

// ---- the bar ----
const setWipe = (share) => {
  wipe = share;
  element.querySelector('[data-wiper]').value = share;
  stage.style.setProperty('--wipe', share);
};
element.querySelector('[data-wiper]').addEventListener('input', (event) => setWipe(+event.target.value));
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const flip = () => { const on = button.getAttribute('aria-pressed') !== 'true'; button.setAttribute('aria-pressed', on); return on; };
  if (button.matches('[data-layout]')) {
    tab.set('large', button.dataset.layout === 'large' ? (tab.value('large') || cells()[0]?.method || '') : '');
    arrange();
  } else if (button.matches('[data-wipe]')) {
    const on = flip();
    element.querySelector('[data-wiper]').hidden = !on;
    stage.classList.toggle('wiping', on);
    if (on) setWipe(0.5); else wipe = null;
  } else if (button.matches('[data-lens]')) { if (flip()) place ||= [0.5, 0.5]; else if (!pinned) forget(); mark(); }
  else if (button.matches('[data-raw]')) { raw = !raw; mark(); }
  else if (button.matches('[data-unpin]')) { forget(); mark(); }
  else if (button.matches('[data-take]')) {
    const look = Object.fromEntries(['colours', 'scale', 'gradients', 'opacity'].map((name) => [name, tab.value(name)]));
    tab.act(button.dataset.take, look);
  }
});
const heat = () => document.documentElement.style.setProperty('--heat', tab.value('opacity'));
tab.here = (name) => { if (name === 'opacity') heat(); else { legend(); repaint(); mark(); } };
tab.form = () => heat();
tab.show = (data, places, channel) => {
  if (channel) return;
  if (data.layout) { layout = data.layout; maps = {}; }
  if (data.maps) Object.assign(maps, data.maps);
  let said = false;
  for (const [row, note] of Object.entries(data.said || {})) {
    said ||= layout.rows[row].note !== note;
    layout.rows[row].note = note;
  }
  if ('same' in data) same = data.same;
  if (data.layout || said) return arrange();
  for (const [key, map] of Object.entries(data.maps || {})) {
    const old = stage.querySelector(`.map[data-key="${CSS.escape(key)}"]`), [method, row] = key.split(':');
    const cell = layout.cells.find((each) => each.method === method);
    if (!old || !cell) continue;
    if (map.absent) old.outerHTML = figure(cell, row);
    else { old.classList.remove('waiting'); describe(old, cell, key); }
    paint(key);
  }
  if (place) mark();
};
seeing.on((what) => { // the photo may come after the maps
  if (what === 'seen' && seeing.seen.picture) for (const image of stage.querySelectorAll('img')) if (image.src !== seeing.seen.picture) image.src = seeing.seen.picture;
});
heat();
