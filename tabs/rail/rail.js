// Photos come in here, and classes are chosen here; everything else listens to what is asked.
const find = (selector) => element.querySelector(selector);
const { escape } = seeing;
const MOST = 7;
let several = false, files = new Map(), labels = {}, taking = 0;

// ---- photos ----
const problem = (text) => {
  find('[data-problem]').textContent = text;
  find('[data-problem]').hidden = !text;
  if (text) seeing.sheet(true); // a phone's
};
// same: it is what is asked about already, a link's own photo or one that the server forgot.
const take = async (given, same = !seeing.state.photo) => {
  const [file, others] = seeing.one(given, 'image/');
  if (!file) return;
  const mine = ++taking;
  problem('');
  find('.pick-own').classList.add('busy');
  const send = async () => (await seeing.photo(file)) || (await server.take(await seeing.upload(file, 'photo', 20)));
  let answer;
  try { answer = await seeing.persist(send, () => mine === taking, problem); }
  catch (error) { answer = { problem: typeof error === 'string' ? error : 'The photo did not arrive: please try again.' }; }
  if (mine !== taking) return;
  find('.pick-own').classList.remove('busy');
  if (answer.problem) return problem(answer.problem);
  if (!same) files.clear();
  files.set(answer.own, file); // to hand it in again if the server forgets it
  seeing.photoNotes = [others, ...answer.notes].filter(Boolean);
  choose({ own: answer.own }, same);
};
const choose = (photo, same = false) => {
  problem('');
  seeing.note = '';
  taking += 1;
  find('.pick-own').classList.remove('busy');
  if (same) seeing.set({ photo }, 'replace');
  else seeing.set({ photo, targets: null, against: null, step: null });
};
find('[data-file]').addEventListener('change', (event) => { take(event.target.files); event.target.value = ''; });
find('.pick-own').addEventListener('click', () => seeing.openFile());
let ours = false; // a picture of the page's own, which comes as a file, too
const dragged = (event) => !ours && [...(event.dataTransfer?.types || [])].includes('Files');
// From another page comes an address, which the browser would go to.
addEventListener('dragstart', () => { ours = true; });
addEventListener('dragend', () => { ours = false; });
const linked = (event) => !ours && !event.target.closest?.('input, textarea') && event.dataTransfer?.types.includes('text/uri-list');
addEventListener('dragover', (event) => { if (dragged(event) || linked(event)) { event.preventDefault(); document.querySelector('#main').classList.add('dropping'); } });
addEventListener('dragleave', (event) => { if (!event.relatedTarget) document.querySelector('#main').classList.remove('dropping'); });
addEventListener('drop', (event) => {
  document.querySelector('#main').classList.remove('dropping');
  if (!dragged(event) && linked(event)) {
    event.preventDefault();
    problem('A photo of another page is taken as a file: save it first, or copy it and paste it here.');
  }
  if (!dragged(event) || event.target.closest('[data-drops]')) return; // a tab's own place for files
  event.preventDefault();
  dialog.close(); // the photo that came is meant
  take(event.dataTransfer.files);
});
addEventListener('paste', (event) => {
  const photos = [...(event.clipboardData?.files || [])].filter((each) => each.type.startsWith('image/'));
  if (!photos.length) return;
  dialog.close();
  take(photos);
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.example) choose({ example: button.dataset.example });
});

find('[data-more]').addEventListener('click', (event) => {
  const all = find('.pick').classList.toggle('all');
  event.target.textContent = all ? 'Fewer examples' : 'More examples';
  event.target.setAttribute('aria-expanded', all);
});

// ---- the camera, for one photo ----
const dialog = find('dialog.camera'), video = find('dialog.camera video');
let asking = false;
const dark = () => { video.srcObject?.getTracks().forEach((track) => track.stop()); video.srcObject = null; };
const camera = async () => {
  if (!navigator.mediaDevices) return problem('This browser gives a camera to https pages only.');
  if (asking) return;
  asking = true;
  try { video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }); }
  catch { return problem('The camera could not be used: allow it for this page, and try again.'); }
  finally { asking = false; }
  dialog.showModal();
  video.play().catch(() => {}); // closed again before it began
};
dialog.addEventListener('close', dark);
find('[data-camera]').addEventListener('click', camera);
find('[data-stop]').addEventListener('click', () => dialog.close());
find('[data-shoot]').addEventListener('click', async () => {
  if (!video.videoWidth) return; // nothing is seen yet
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext('2d').drawImage(video, 0, 0);
  dialog.close(); // at once: later it might be another time that it is open
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
  take([new File([blob], 'camera.jpg', { type: 'image/jpeg' })]);
});

// ---- classes ----
const pick = (index, add = several) => {
  const now = (seeing.current() && seeing.state.targets) || [];
  let targets = [index];
  if (add) targets = now.includes(index) ? now.filter((each) => each !== index) : [...now, index];
  if (!targets.length) return;
  if (targets.length > MOST) return problem(`At most ${MOST} classes fit: remove one of them first.`);
  problem('');
  if (!add) seeing.sheet(false); // a phone's
  seeing.set({ targets, against: targets.includes(seeing.state.against) ? null : seeing.state.against, step: null });
};
const chips = () => {
  if (!seeing.current() && seeing.absent === seeing.state.network) return '';
  if (!seeing.current() || !seeing.seen.chips.length) return '<li class="chip ghost"></li>'.repeat(5);
  const most = Math.max(...seeing.seen.chips.map((chip) => chip.chance), 1e-9), { several: many } = seeing.seen;
  return seeing.seen.chips.map((chip) => {
    const on = (seeing.state.targets || []).includes(chip.index), mark = chip.bound === null ? ''
      : `<i class="chip-mark" style="--share:${chip.bound}" title="Counts as seen from ${Math.round(100 * chip.bound)} % on"></i>`;
    return `<li><button type="button" class="chip${on ? ' on' : ''}" data-class="${chip.index}" aria-pressed="${on}"><span class="chip-name">${escape(chip.label)}</span><span class="chip-value">${chip.words}</span>
      <i class="chip-bar" style="--share:${many ? chip.chance : chip.chance / Math.max(most, 0.25)}"></i>${mark}</button></li>`;
  }).join('');
};
const narrow = matchMedia('(max-width: 1023px)');
const swipe = (strip, left) => { // to where it was, and as far as the chosen chip needs
  const chip = strip.querySelector('.on'), at = chip?.parentElement.offsetLeft - strip.offsetLeft;
  strip.scrollLeft = chip ? Math.min(Math.max(left, at + chip.offsetWidth + 14 - strip.clientWidth), at - 14) : left;
};
const HINTS = { absent: 'Choose another network: this one can’t be had now.', none: 'Drop a photo anywhere, or choose an example.', one: 'Click another answer, and the heat moves.', many: 'Each class is a yes or no of its own; the mark is where it counts as seen.' };
const draw = () => {
  const { state, seen } = seeing, known = seeing.current();
  for (const list of document.querySelectorAll('[data-chips]')) { // here, and under a phone's photo
    const focus = list.contains(document.activeElement) && document.activeElement.dataset.class;
    const strip = list.tagName !== 'UL', html = strip ? `<ul class="chips">${chips()}</ul>` : chips();
    if (list.innerHTML !== html) {
      const swiped = strip && narrow.matches && (list.firstElementChild?.scrollLeft ?? 0); // where there is none, to ask would lay out the page
      list.innerHTML = html;
      if (swiped !== false) swipe(list.firstElementChild, swiped);
    }
    if (focus) list.querySelector(`[data-class="${focus}"]`)?.focus();
  }
  find('[data-title]').textContent = known ? `${seen.title} sees` : 'It sees';
  find('[data-hint]').textContent = !known && seeing.absent === state.network ? HINTS.absent : !state.photo ? HINTS.none : known && seen.several ? HINTS.many : HINTS.one;
  find('[data-search]').placeholder = known ? `Any of ${seen.classes} classes …` : 'Any class …';
  const own = find('.pick-own'), mine = Boolean(state.photo?.own);
  for (const each of [own, ...element.querySelectorAll('[data-example]')]) {
    const on = each === own ? mine : each.dataset.example === state.photo?.example;
    each.classList.toggle('on', on);
    each.ariaCurrent = on || null;
  }
  own.style.backgroundImage = mine && known && seen.picture ? `url(${seen.picture})` : '';
  const asked = seeing.names();
  find('[data-contrast]').textContent = asked.length === 1 ? `Why ${asked[0]}, and not …?` : 'Why these, and not …?';
  find('[data-framing]').setAttribute('aria-pressed', state.framing === 'crop');
  find('[data-several]').setAttribute('aria-pressed', several || (state.targets || []).length > 1);
  const notes = mine ? [...(seeing.photoNotes || []), (known && seen.coarse) || ''] : [];
  const note = seeing.note || notes.join(' ').trim();
  for (const place of document.querySelectorAll('[data-note]')) { // here, and under a phone's photo
    if (place.textContent !== note) place.textContent = note;
    place.hidden = !note;
  }
  against();
};
const against = () => {
  const select = find('[data-against]'), { state, seen } = seeing, on = state.against !== null && state.against !== undefined;
  if (on) { find('.contrast').hidden = false; find('[data-contrast]').setAttribute('aria-expanded', true); }
  if (!seeing.current()) return;
  const list = (seen.likely || []).filter((each) => !(state.targets || []).includes(each.index));
  if (on && !list.some((each) => each.index === state.against)) list.unshift({ index: state.against, label: seen.against_name ?? `class ${state.against}` });
  const html = `<option value="">nothing in particular</option>${list.map((each) => `<option value="${each.index}">${escape(each.label)}</option>`).join('')}`;
  if (select.innerHTML !== html) select.innerHTML = html;
  select.value = on ? state.against : '';
};
document.addEventListener('click', (event) => {
  const chip = event.target.closest('[data-chips] [data-class]');
  if (chip) pick(+chip.dataset.class, several || event.shiftKey || event.ctrlKey || event.metaKey);
});
find('[data-several]').addEventListener('click', () => {
  several = !(several || (seeing.state.targets || []).length > 1);
  if (!several && seeing.state.targets?.length > 1) seeing.set({ targets: seeing.state.targets.slice(0, 1) });
  draw();
});
find('[data-framing]').addEventListener('click', () => seeing.set({ framing: seeing.state.framing === 'crop' ? 'whole' : 'crop' }));
find('[data-contrast]').addEventListener('click', () => {
  const box = find('.contrast');
  box.hidden = !box.hidden;
  find('[data-contrast]').setAttribute('aria-expanded', !box.hidden);
  if (box.hidden) seeing.set({ against: null }); else find('[data-against]').focus();
});
find('[data-against]').addEventListener('change', (event) => seeing.set({ against: event.target.value === '' ? null : +event.target.value, step: null }));

// ---- the search, in the browser ----
seeing.labels = async () => { // of the network in use; null where they can’t be had
  const key = seeing.state.network;
  if (!labels[key]) labels[key] = server.labels(key).catch(() => ({}));
  const { labels: all = null } = (await labels[key]) || {};
  if (!all) delete labels[key];
  return all;
};
seeing.search(find('[data-search]'), find('#found-classes'), (index) => pick(index));

seeing.openCamera = camera;
seeing.openFile = () => find('[data-file]').click();
find('[data-close]').addEventListener('click', () => seeing.sheet(false));
seeing.on((what) => {
  if (what === 'gone') { // the server forgot the photo: hand it in again, if it is still here
    const file = files.get(seeing.state.photo?.own);
    if (file) take([file], true);
  }
  draw();
});
draw();
