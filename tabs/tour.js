// A step sets what is asked, as a link would, and says what to look at.
const steps = JSON.parse(props.steps), place = element.querySelector('.tour');
const escape = (text) => { const p = document.createElement('p'); p.textContent = text; return p.innerHTML; };
let before = null; // what was asked when the tour began
const at = () => { const step = +seeing.state.step; return step >= 1 && step <= steps.length ? step : 0; };
const go = (number) => {
  const step = steps[number - 1];
  if (!step) return;
  if (!at()) before = structuredClone(seeing.state);
  seeing.set({ step: String(number), network: step.model, photo: { example: step.example }, targets: [...step.classes],
    against: null, framing: 'whole', tab: 'maps', settings: { ...seeing.state.settings, maps: { methods: step.methods.join(',') } } });
};
const leave = () => seeing.set(before ? { ...before, step: null } : { step: null });
const draw = () => {
  const number = at();
  place.hidden = !number;
  if (!number) return;
  const step = steps[number - 1], own = before?.photo?.own;
  const html = `<p><b>${escape(step.title)}.</b> ${escape(step.say)}</p><div><button type="button" data-go="${number - 1}" ${number === 1 ? 'disabled' : ''}>Back</button><span>${number} of ${steps.length}</span>
    <button type="button" data-go="${number + 1}" ${number === steps.length ? 'disabled' : ''}>Next</button><button type="button" class="plain" data-leave>${own ? 'Give me my photo back' : 'End the tour'}</button></div>`;
  if (place.innerHTML !== html) place.innerHTML = html;
};
place.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.go) go(+button.dataset.go);
  else if (button && 'leave' in button.dataset) leave();
});
seeing.on((what) => { if (what === 'tour') go(at() || 1); draw(); });
draw();
