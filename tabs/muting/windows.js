// Windows over the photo: which one is pointed at, and what the network says then. All of it came
// with the maps, so pointing asks nobody. Until somebody points, it is the strongest place.
const maps = find('[data-place="maps"]'), panel = find('[data-look]'), picture = panel.querySelector('canvas');
const SHARES = 65535;
let known = null, spot = null, held = false, chosen = false, viewed = '';

const unpack = (text, Kind) => new Kind(seeing.bytes(text).buffer);
const centre = (span) => (span[0] + span[1]) / 2;
const nearest = (spans, at) => spans.reduce((best, span, i) => (Math.abs(centre(span) - at) < Math.abs(centre(spans[best]) - at) ? i : best), 0);
// The window nearest to a spot, all in fractions of the photo: its row and column, and box.
const cell = (at) => {
  const row = nearest(known.down, at[1]), col = nearest(known.across, at[0]);
  const [top, bottom] = known.down[row], [left, right] = known.across[col];
  return { row, col, box: [left, top, right, bottom], centre: [centre(known.across[col]), centre(known.down[row])] };
};

const grid = (facts) => {
  known = facts && { ...facts, after: unpack(facts.after, Uint16Array), chances: unpack(facts.chances, Uint16Array), ranks: unpack(facts.ranks, Int16Array) };
  const button = find('[data-sweep]');
  button.textContent = facts ? `Cover all ${facts.places} places` : 'Cover every place';
  button.hidden = Boolean(facts?.complete);
  const { state } = seeing, now = JSON.stringify([state.photo, state.network, state.targets, state.against, state.framing]);
  if (now !== viewed) { held = chosen = false; spot = null; }
  viewed = now;
  if (known?.peak && !chosen) spot = [centre(known.across[known.peak[1]]), centre(known.down[known.peak[0]])];
  panel.hidden = !known;
  look();
};
const look = () => {
  if (!known || !spot || !known.down.length) return;
  const { row, col, box } = cell(spot), at = row * known.across.length + col, rank = known.ranks[at];
  const [left, top, right, bottom] = box, [width, height] = scaled(480), ink = picture.getContext('2d');
  for (const mark of maps.querySelectorAll('.window-mark')) {
    Object.assign(mark.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
    mark.classList.toggle('held', held);
    mark.hidden = false;
  }
  if (picture.width !== width || picture.height !== height) Object.assign(picture, { width, height });
  if (photo().complete && photo().naturalWidth) ink.drawImage(photo(), 0, 0, width, height);
  if (fill.complete && fill.naturalWidth) {
    const [w, h] = [fill.naturalWidth, fill.naturalHeight], one = w === 1 && h === 1; // one colour, or all of it
    const [x0, y0, x1, y1] = known.seen, across = w / (x1 - x0), down = h / (y1 - y0);
    const from = one ? [0, 0, 1, 1] : [(left - x0) * across, (top - y0) * down, (right - left) * across, (bottom - top) * down];
    ink.drawImage(fill, ...from, left * width, top * height, (right - left) * width, (bottom - top) * height);
  }
  const words = find('[data-look-words]');
  if (rank < 0) { words.textContent = 'This place has not had its turn yet.'; return; }
  const count = known.rows.length, after = [...known.after.slice(at * count, (at + 1) * count)].map((share) => share / SHARES);
  const index = known.rows.findIndex((each) => each.name === known.target.name && each.chosen);
  const now = { after, target: after[index], winner: { ...known.winners[rank], after: known.chances[at] / SHARES } };
  say(words, known, now);
  bars(find('[data-look-bars]'), known, now);
};

const pointed = (event) => {
  const box = event.target.closest?.('.windows-picture')?.getBoundingClientRect();
  if (!box || !known) return null;
  const [left, top, right, bottom] = known.seen, x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  return x >= left && x <= right && y >= top && y <= bottom ? [x, y] : null;
};
const go = (at) => { spot = cell(at).centre; chosen = true; look(); };
maps.addEventListener('pointermove', (event) => {
  if (held || event.pointerType !== 'mouse') return;
  const at = pointed(event);
  if (at) go(at);
});
maps.addEventListener('click', (event) => {
  const at = pointed(event);
  if (!at) return;
  held = event.pointerType === 'mouse' && !held;
  go(at);
});
maps.addEventListener('keydown', (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!known || !event.target.closest('[data-walk]')) return;
  if (event.key === 'Escape') held = false;
  else if (step) {
    const { row, col } = cell(spot || [0.5, 0.5]), way = (spans) => (centre(spans[0]) > centre(spans.at(-1)) ? -1 : 1); // mirrored
    const walk = (spans, i, by) => centre(spans[Math.min(spans.length - 1, Math.max(0, i + by * way(spans)))]);
    spot = [walk(known.across, col, step[0]), walk(known.down, row, step[1])];
    chosen = true;
  } else return;
  event.preventDefault();
  look();
});
photo().addEventListener('load', look);
photos();
