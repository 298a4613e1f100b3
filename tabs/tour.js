// A step sets what is asked, as a link would, and says what to look at.
const steps = JSON.parse(props.steps), place = element.querySelector('.tour');
const { escape } = seeing;
let drawn = '', heard = 0;
let before = JSON.parse(sessionStorage.getItem('before')); // what was asked when the tour began
const at = () => { const step = +seeing.state.step; return step >= 1 && step <= steps.length ? step : 0; };
const go = (number, how = 'push') => {
  const step = steps[number - 1];
  if (!step) return;
  if (!at()) sessionStorage.setItem('before', JSON.stringify(before = structuredClone(seeing.state)));
  const look = step.methods.length ? { methods: step.methods.join(',') } : step.look;
  seeing.set({ step: String(number), network: step.model, photo: { example: step.example }, targets: step.classes.length ? [...step.classes] : null,
    against: null, framing: 'whole', tab: step.tab, settings: { ...seeing.state.settings, [step.tab]: look } }, how);
};
// An address may have been written by hand: a step that it only numbers is shown, and none is
// told of another photo, network or classes.
const fits = (step) => seeing.state.network === step.model && step.photos.some(([name]) => name === seeing.state.photo?.example)
  && (!step.classes.length || (seeing.knows() ? seeing.names().join() === step.classes.join() : seeing.state.targets?.length > 0));
const check = () => {
  const step = steps[at() - 1], names = (name) => new URLSearchParams(location.search).has(name);
  if (!step || fits(step)) return;
  if (['model', 'network', 'example', 'photo', 'target'].some(names)) seeing.set({ step: null }, 'replace');
  else go(at(), 'replace');
};
const leave = () => {
  seeing.set(before ? { ...before, step: null } : { step: null });
  document.querySelector('[data-tour]').focus();
};
const draw = () => {
  const number = at();
  place.hidden = !number;
  if (!number) return;
  const step = steps[number - 1], own = before?.photo?.own;
  const tries = step.photos.length < 2 ? '' : `<div class="tour-photos" role="group" aria-label="Photos of this step">${step.photos.map(([name, title]) =>
    `<button type="button" data-photo="${escape(name)}" aria-pressed="${seeing.state.photo?.example === name}">${escape(title)}</button>`).join('')}</div>`;
  const open = place.querySelector('details')?.open ? ' open' : ''; // what was unfolded stays so
  const more = step.more ? `<details${open}><summary>${escape(step.more[0])}</summary><p>${escape(step.more[1])}</p></details>` : '';
  const html = `<p><b>${escape(step.title)}.</b> ${escape(step.say)}</p>${more}${tries}<div><button type="button" data-go="${number - 1}" ${number === 1 ? 'disabled' : ''}>Back</button><span>${number} of ${steps.length}</span>
    <button type="button" data-go="${number + 1}" ${number === steps.length ? 'disabled' : ''}>Next</button><button type="button" class="plain" data-leave>${own ? 'Give me my photo back' : 'End the tour'}</button></div>`;
  if (drawn !== html) place.innerHTML = drawn = html;
  if (heard !== number) seeing.hear(place.querySelector('p').textContent);
  heard = number;
};
place.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.go) go(+button.dataset.go);
  else if (button?.dataset.photo) seeing.set({ photo: { example: button.dataset.photo }, targets: null, against: null });
  else if (button && 'leave' in button.dataset) leave();
});
seeing.on((what) => { if (what === 'tour') go(at() || 1); else check(); draw(); });
check();
draw();
