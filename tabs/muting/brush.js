// The brush. Strokes are points in fractions of the photo, so that they can be undone and drawn at
// any size; a region is what the search found: boxes that stand for all before them. The mask goes
// out as lengths of runs, painted or not in turn.
const MASK = 224, PAUSE = 150;
const canvas = find('.brush-photo canvas'), ring = find('.brush-ring'), fill = new Image();
let strokes = [], stroke = null, keep = false, searching = false, about = null, place = null;
let turn = 0, soon = 0, sent = 0, owner = '', concern = '';

const size = () => +find('[data-size]').value / 100;
const painted = () => strokes.slice(Math.max(0, strokes.findLastIndex((each) => each.region)));
const shapes = (ink, width, height) => {
  ink.clearRect(0, 0, width, height);
  ink.fillStyle = ink.strokeStyle = '#000';
  ink.lineCap = ink.lineJoin = 'round';
  for (const { points, boxes, wide } of painted()) {
    for (const [left, top, right, bottom] of boxes || [])
      ink.fillRect(Math.round(left * width), Math.round(top * height), Math.round(right * width) - Math.round(left * width), Math.round(bottom * height) - Math.round(top * height));
    if (!points) continue;
    ink.lineWidth = wide * Math.max(width, height);
    ink.beginPath();
    points.forEach(([x, y], i) => ink[i ? 'lineTo' : 'moveTo'](x * width, y * height));
    if (points.length === 1) ink.lineTo(points[0][0] * width + 0.01, points[0][1] * height);
    ink.stroke();
  }
};
const scaled = (longest) => {
  const [width, height] = shape(), scale = longest / Math.max(width, height);
  return [width, height].map((side) => Math.max(1, Math.round(side * scale)));
};
// What is covered shows what the network gets there.
const draw = () => {
  const [width, height] = scaled(SIDE), ink = canvas.getContext('2d');
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  ink.globalCompositeOperation = 'source-over';
  shapes(ink, width, height);
  if (keep && painted().length) {
    ink.globalCompositeOperation = 'xor';
    ink.fillRect(0, 0, width, height);
  }
  const [left, top, right, bottom] = about?.seen || [0, 0, 1, 1];
  ink.globalCompositeOperation = 'source-in';
  if (fill.complete && fill.naturalWidth) ink.drawImage(fill, left * width, top * height, (right - left) * width, (bottom - top) * height);
  ink.globalCompositeOperation = 'source-over';
  ink.fillStyle = 'rgba(0, 0, 0, .59)'; // the network never sees what is outside
  ink.fillRect(0, 0, left * width, height);
  ink.fillRect(right * width, 0, width, height);
  ink.fillRect(left * width, 0, (right - left) * width, top * height);
  ink.fillRect(left * width, bottom * height, (right - left) * width, height);
  find('[data-undo]').disabled = find('[data-clear]').disabled = searching || !strokes.length;
  find('[data-keep]').setAttribute('aria-pressed', String(keep));
};
fill.addEventListener('load', () => { draw(); look(); });

const tell = (now) => {
  if (!about) return;
  find('[data-title]').textContent = now ? `${(100 * now.share).toFixed(1)} % of the photo is covered` : 'Nothing is covered yet';
  say(find('[data-verdict]'), about, now);
  bars(find('[data-bars]'), about, now);
};
const send = () => {
  clearTimeout(soon);
  soon = 0;
  canvas.dataset.turn = turn += 1;
  if (!painted().length) { canvas.dataset.told = turn; return tell(null); }
  sent = performance.now();
  const [width, height] = scaled(MASK), ink = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  shapes(ink, width, height);
  const alpha = ink.getImageData(0, 0, width, height).data, runs = [];
  let on = false, run = 0;
  for (let i = 3; i < alpha.length; i += 4) {
    if (alpha[i] > 127 === on) run += 1;
    else { runs.push(run); run = 1; on = !on; }
  }
  runs.push(run);
  tab.act('paint', { width, height, runs, keep, turn });
};
// While a stroke goes on, every answer to it is shown; after undo or clear none from before.
let oldest = 0;
const anew = () => { oldest = turn + 1; draw(); send(); };
const answered = (now) => {
  if (now.turn < oldest || !painted().length || searching) return;
  tell(now);
  canvas.dataset.told = now.turn;
};
const later = () => { soon ||= setTimeout(send, Math.max(0, PAUSE - performance.now() + sent)); };

// ---- gestures ----
const point = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
const circle = (at, shown = true) => {
  place = at;
  ring.hidden = !shown || searching;
  const [width, height] = shape(), wide = size() * Math.max(width, height);
  Object.assign(ring.style, { left: `${100 * at[0]}%`, top: `${100 * at[1]}%`, width: `${100 * wide / width}%` });
};
const start = (at) => {
  stroke = { points: [at], wide: size() };
  strokes.push(stroke);
  draw();
  later();
};
canvas.addEventListener('pointerdown', (event) => {
  if (event.button || !event.isPrimary || searching || !about) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  start(point(event));
});
canvas.addEventListener('pointermove', (event) => {
  if (event.pointerType === 'mouse' || stroke) circle(point(event));
  if (!stroke) return;
  stroke.points.push(point(event));
  draw();
  later();
});
const lift = () => { if (stroke) { stroke = null; send(); } };
canvas.addEventListener('pointerup', lift);
canvas.addEventListener('pointercancel', () => { if (stroke) { stroke = null; strokes.pop(); anew(); } }); // two fingers: a zoom
for (const over of ['pointerleave', 'blur']) canvas.addEventListener(over, () => { ring.hidden = true; });
canvas.addEventListener('keydown', (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const at = place || [0.5, 0.5];
  if (step) circle(at.map((v, i) => Math.min(1, Math.max(0, v + step[i] * size() / 2))));
  else if (event.key === ' ' && !searching && about) { circle(at); start(at); lift(); }
  else if (event.key === 'Backspace') find('[data-undo]').click();
  else return;
  event.preventDefault();
});
find('[data-size]').addEventListener('input', () => circle(place || [0.5, 0.5]));
find('[data-size]').addEventListener('change', () => { ring.hidden = true; });
find('[data-undo]').addEventListener('click', () => { strokes.pop(); anew(); });
find('[data-clear]').addEventListener('click', () => { strokes = []; keep = false; anew(); });
find('[data-keep]').addEventListener('click', () => { keep = !keep; anew(); });
find('[data-box]').addEventListener('click', () => {
  const [left, top, width, height] = [...element.querySelectorAll('[data-edge]')].map((each) => each.valueAsNumber / 100);
  const fits = [left, top, width, height].every((v) => v >= 0 && v <= 1) && width && height;
  if (!fits) return tab.tell('A rectangle needs four numbers from 0 to 100, width and height above 0.');
  if (searching) return;
  tab.tell('');
  strokes.push({ boxes: [[left, top, Math.min(1, left + width), Math.min(1, top + height)]] });
  anew();
});
find('.brush-box').addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); find('[data-box]').click(); } });

// ---- what is asked; the search ----
const begin = (facts) => {
  const { state } = seeing, mine = JSON.stringify(state.photo);
  const now = JSON.stringify([mine, state.network, state.targets?.[0], state.framing, tab.value('baseline'), tab.value('seed')]);
  if (mine !== owner) { strokes = []; keep = false; stroke = null; }
  else if (now !== concern) strokes = strokes.filter((each) => !each.region); // it was of the old question
  [owner, concern, searching] = [mine, now, false];
  about = facts;
  find('[data-flip]').disabled = false;
  if (fill.src !== facts.fill) fill.src = facts.fill;
  anew();
};
const searched = () => {
  searching = false;
  find('[data-flip]').disabled = false;
  strokes = strokes.filter((each) => !each.region || each.boxes.length);
  draw();
};
const region = (found) => {
  let mine = strokes.at(-1);
  if (!mine?.region) strokes.push(mine = { region: true });
  mine.boxes = found.boxes;
  searching = found.done < 1;
  draw();
  tell(found);
};
find('[data-flip]').addEventListener('click', async () => {
  if (!about || searching) return;
  keep = false;
  stroke = null;
  searching = find('[data-flip]').disabled = true;
  oldest = turn + 1;
  draw();
  await tab.act('flip');
  if (find('[data-flip]').disabled) searched();
});
