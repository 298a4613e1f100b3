// A bag of patches: pointing and taking away are answered from numbers that came with the pictures.
const { body } = tab;
let bag = null, at = -1, pinned = -1, without = 0, known = '';
const find = (selector) => body.querySelector(selector);
const { percent } = seeing;
const nearest = (event) => {
  const box = event.target.closest('.bag-picture').getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * bag.size[0];
  const y = (event.clientY - box.top) / box.height * bag.size[1];
  let best = -1, least = Infinity;
  bag.boxes.forEach(([x0, y0, x1, y1], i) => {
    const far = ((x0 + x1) / 2 - x) ** 2 + ((y0 + y1) / 2 - y) ** 2;
    if (far < least) [best, least] = [i, far];
  });
  return best;
};
const rank = (values, i) => values.filter((value) => value > values[i]).length + 1;
const marks = () => body.querySelectorAll('.bag-marks').forEach((canvas) => {
  const scale = devicePixelRatio || 1, {clientWidth: w, clientHeight: h} = canvas;
  canvas.width = w * scale; canvas.height = h * scale;
  const pen = canvas.getContext('2d');
  pen.scale(scale * w / bag.size[0], scale * h / bag.size[1]);
  const one = bag.size[0] / Math.max(w, 1);
  if (canvas.dataset.removes) for (const i of bag.order.slice(0, without)) {
    const [x0, y0, x1, y1] = bag.boxes[i];
    pen.fillStyle = 'rgba(0, 0, 0, .8)';
    pen.fillRect(x0, y0, x1 - x0, y1 - y0);
    pen.strokeStyle = 'rgba(255, 255, 255, .7)'; pen.lineWidth = one;
    pen.beginPath();
    pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.moveTo(x1, y0); pen.lineTo(x0, y1);
    pen.stroke();
  }
  if (at < 0) return;
  const [x0, y0, x1, y1] = bag.boxes[at];
  for (const [ink, wide] of [['#000', 4], ['#fff', 2]]) {
    pen.strokeStyle = ink; pen.lineWidth = wide * one;
    pen.strokeRect(x0 + one, y0 + one, x1 - x0 - 2 * one, y1 - y0 - 2 * one);
  }
});
const card = () => {
  const [words, canvas] = [find('.bag-words'), find('.bag-patch')];
  if (!words) return;
  find('.bag-card').classList.toggle('empty', at < 0);
  if (at < 0) return;
  const [x0, y0, x1, y1] = bag.boxes[at], photo = find('.bag-photo');
  const k = photo.naturalWidth / bag.size[0];
  canvas.height = Math.round(canvas.width * (y1 - y0) / (x1 - x0));
  canvas.getContext('2d').drawImage(photo, x0 * k, y0 * k, (x1 - x0) * k, (y1 - y0) * k,
    0, 0, canvas.width, canvas.height);
  words.replaceChildren();
  const head = document.createElement('b');
  head.textContent = `Patch ${at + 1} of ${bag.boxes.length}`;
  words.append(head);
  for (const [name, values] of bag.facts) {
    const line = document.createElement('span');
    line.textContent = `${name} ${percent(values[at])}, rank ${rank(values, at)}`;
    words.append(line);
  }
};
const show = (i) => { if (i === at) return; at = i; marks(); card(); };
const remove = (count) => {
  const range = find('.bag-range');
  if (!range) return;
  without = Math.min(count, +range.max);
  range.value = without;
  const plot = find('.bag-curve .plot'), dot = plot.querySelector('circle');
  const [left, top, wide, high] = plot.dataset.box.split(' ').map(Number);
  dot.setAttribute('cx', left + wide * without / Math.max(+range.max, 1));
  dot.setAttribute('cy', top + high * (1 - bag.curve[without]));
  const whole = without ? `Without its top ${without === 1 ? 'patch' : without + ' patches'}: `
    : 'With all patches: ';
  find('.bag-without').textContent = whole + percent(bag.curve[without]);
  range.setAttribute('aria-valuetext', find('.bag-without').textContent);
  marks();
};
const load = () => {
  const root = find('.bag');
  bag = root && JSON.parse(root.dataset.bag);
  if (!bag) return;
  if (bag.key !== known) [known, at, pinned, without] = [bag.key, -1, -1, 0];
  marks(); card(); remove(without);
  const photo = find('.bag-photo');
  if (!photo.complete) photo.addEventListener('load', card, {once: true});
};
body.addEventListener('pointermove', (event) => {
  if (bag && event.target.closest('.bag-picture')) show(nearest(event));
});
body.addEventListener('pointerout', (event) => {
  if (bag && event.target.closest('.bag-picture')) show(pinned);
});
body.addEventListener('click', (event) => {
  if (!bag) return;
  const button = event.target.closest('button[data-patch]');
  if (button) show(pinned = +button.dataset.patch);
  else if (event.target.closest('.bag-picture')) {
    const i = nearest(event);
    pinned = pinned === i ? -1 : i;
    show(i);
  }
});
body.addEventListener('keydown', (event) => {
  if (!bag || !event.target.closest('.bag-picture')) return;
  const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -bag.columns, ArrowDown: bag.columns};
  if (event.key === 'Escape') show(pinned = -1);
  else if (event.key in step) {
    const next = at < 0 ? bag.order[0] : at + step[event.key];
    if (next >= 0 && next < bag.boxes.length) show(pinned = next);
  } else if (event.key === 'Enter' || event.key === ' ') show(pinned = bag.order[0]);
  else return;
  event.preventDefault();
});
body.addEventListener('input', (event) => {
  if (bag && event.target.matches('.bag-range')) remove(+event.target.value);
});
new ResizeObserver(() => bag && marks()).observe(element);

// ---- what is read, and the lesson ----
body.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.tissue) { tab.set('source', 'tissue'); tab.set('tissue', button.dataset.tissue); }
  if (button?.matches('[data-read]')) tab.act('read');
  if (button?.matches('[data-learn]')) tab.act('learn', lesson());
});
const number = (name) => +find(`[data-lesson="${name}"]`).value;
const lesson = () => ({ pupil: seeing.visit, seed: number('seed'), kind: find('[data-lesson="kind"]').value, crosses: number('crosses'), bag: number('bag') });
body.addEventListener('input', (event) => {
  if (event.target.matches('[data-lesson]') && event.target.dataset.lesson !== 'seed') tab.act('own', lesson());
});
const frame = () => {
  const tissue = tab.value('source') === 'tissue' || (tab.value('source') === 'photo' && !seeing.state.photo);
  find('.tissue').hidden = !tissue;
  for (const button of body.querySelectorAll('[data-tissue]'))
    button.setAttribute('aria-pressed', String(tissue && button.dataset.tissue === tab.value('tissue')));
};
tab.asked = frame;
tab.form = frame;
tab.show = (data, places, channel) => {
  if (places.bag !== undefined) load();
  if (channel === '' && !find('[data-place="own"]').innerHTML) tab.act('own', lesson());
};
tab.over = (channel) => { if (channel === 'learn') tab.act('own', lesson()); };
frame();
