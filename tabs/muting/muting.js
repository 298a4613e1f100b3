// What the tab's parts share: the photo, bars before and after, the sentence over them.
const find = (selector) => element.querySelector(selector);
const { escape, percent } = seeing;
const SIDE = 960; // pixels on the longer side of what is painted on

const shape = () => seeing.seen?.size || [4, 3];
const photo = () => find('.brush-photo img');
const photos = () => {
  const [width, height] = shape();
  element.style.setProperty('--ratio', width / height);
  for (const image of element.querySelectorAll('img[data-photo]'))
    if (seeing.seen?.picture && image.src !== seeing.seen.picture) image.src = seeing.seen.picture;
};

// about: the photo as it is; now: with something covered, or null.
const verdict = (about, now) => {
  const { name, before, bound } = about.target;
  if (!now) return bound === null ? `It says “${about.winner.name}”.` : `It ${before < bound ? 'does not see' : 'sees'} “${name}”, ${percent(before)}.`;
  if (bound === null) {
    const { winner } = now;
    return changes(about, now) ? `No longer “${about.winner.name}”: now “${winner.name}”, ${percent(winner.after)}.` : `Still “${winner.name}”, now ${percent(winner.after)}.`;
  }
  const sees = now.target >= bound, takes = `${percent(now.target)}, and it takes ${percent(bound)}`;
  if (before >= bound) return sees ? `Still sees “${name}”, now ${percent(now.target)}.` : `No longer sees “${name}”: ${takes}.`;
  return sees ? `Now it sees “${name}”, ${percent(now.target)}.` : `“${name}” is not seen, covered or not: ${takes}.`;
};
const changes = (about, now) => Boolean(now) && (about.target.bound === null
  ? now.winner.index !== about.winner.index
  : (now.target >= about.target.bound) !== (about.target.before >= about.target.bound));

// Bars are moved, not made anew, so that one sees them move.
const bars = (list, about, now) => {
  const rows = about.rows.map((row, i) => ({ ...row, after: now ? now.after[i] : row.before }));
  if (now && !rows.some((row) => row.index === now.winner.index)) rows.push(now.winner);
  const most = Math.max(1e-9, ...rows.flatMap((row) => [row.before, row.after]));
  const key = rows.map((row) => `${row.index}${row.chosen ? '*' : ''}`).join();
  if (list.dataset.key !== key) {
    list.innerHTML = rows.map((row) => `<li class="${row.chosen ? 'chosen' : ''}"><span class="change-name">${escape(row.name)}</span><span class="change-value"></span><span class="change-bars" aria-hidden="true"><i class="was"></i><i class="now"></i></span></li>`).join('');
    list.dataset.key = key;
  }
  list.classList.toggle('still', !now);
  rows.forEach((row, i) => {
    const item = list.children[i];
    item.querySelector('.change-value').innerHTML = now ? `${escape(percent(row.before))} <span aria-label="to">→</span> <b>${escape(percent(row.after))}</b>` : `<b>${escape(percent(row.before))}</b>`;
    item.querySelector('.was').style.width = `${100 * row.before / most}%`;
    item.querySelector('.now').style.width = `${100 * row.after / most}%`;
  });
};
const say = (place, about, now) => {
  const words = verdict(about, now);
  if (place.textContent !== words) place.textContent = words; // else it would be read out again
  place.classList.toggle('flipped', changes(about, now));
};

// A button that starts slow work, which says how far it is in a bar of its own.
const starts = (button, act) => button.addEventListener('click', async () => {
  button.disabled = true;
  await tab.act(act);
  button.disabled = false;
});
// A window's answers do not depend on the class: its run goes on for whichever is asked next.
const windowed = () => JSON.stringify([['photo', 'network', 'framing'].map((name) => seeing.state[name]), ['window', 'stride', 'baseline', 'seed'].map(tab.value)]);
const everywhere = find('[data-sweep]');
let sweeping = null, left = null, run = 0;
const sweep = async () => {
  const mine = (run += 1);
  sweeping = windowed();
  everywhere.disabled = true;
  await tab.act('sweep');
  if (mine === run) everywhere.disabled = false;
};
everywhere.addEventListener('click', sweep);
starts(find('[data-rise]'), 'rise');
for (const button of element.querySelectorAll('[data-take]')) starts(button, button.dataset.take);

const noise = () => { // a seed matters to noise alone
  const field = find('[name="seed"]')?.closest('.field');
  if (field) field.hidden = tab.value('baseline') !== 'noise';
};
tab.form = noise;
tab.show = (data, places, channel) => {
  noise();
  photos();
  if (data.brush) begin(data.brush);
  if (data.answer) answered(data.answer);
  if (data.flip) region(data.flip);
  if (data.windows) grid(data.windows);
  else if (channel === '' && 'maps' in places) grid(null);
};
tab.asked = () => { left = sweeping; sweeping = null; };
tab.over = (channel) => {
  if (channel === 'flip') searched();
  if (channel === 'sweep') sweeping = null; // done, or stopped by the visitor
  if (channel === '' && left && left === windowed() && !everywhere.hidden) sweep();
  if (channel === '') left = null;
};
seeing.on((what) => { if (what === 'seen') { photos(); draw(); look(); } });
