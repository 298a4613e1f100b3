// What benchmarks/page.py does on the page, and when it is done: each action with the conditions
// whose first frame is timed. data is what Python gives.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const change = (control, value) => { control.value = value; control.dispatchEvent(new Event('input', { bubbles: true })); };
  const painted = () => all('.stage canvas[data-painted]').length;
  const unpaint = () => all('.stage canvas').forEach((each) => delete each.dataset.painted);
  const still = () => !one('#maps-tab.busy, .stage .waiting');
  const says = () => one('#maps-tab .say').textContent.includes(seeing.names()[0]);
  const mine = () => seeing.state.photo?.own && seeing.current();
  const asked = (data) => seeing.current() && seeing.state.targets[0] === data.target;
  const give = (selector, data) => {
    const bytes = Uint8Array.from(atob(data.photo), (c) => c.charCodeAt(0)), give = new DataTransfer();
    give.items.add(new File([bytes], 'photo.jpg', { type: 'image/jpeg' }));
    one(selector).files = give.files;
    one(selector).dispatchEvent(new Event('change', { bubbles: true }));
  };
  const chip = (at) => all('.rail .chip')[at].click();
  // What a visitor came to a tab for: its own result, not the photo that is there anyway.
  const RESULT = { maps: '.stage canvas[data-painted]', muting: '.windows-picture .heat', activations: '.act-sheet canvas',
    filters: '.filters-grid canvas', impressions: '.imp-wall img', patches: '.bag-picture img' };
  const fast = () => all('.compare-card').length && all('.compare-picture img').length >= 5;
  const content = ({ tab }) => (tab === 'compare' ? fast() : all(`#${tab}-tab ${RESULT[tab] || 'img, canvas'}`).some((each) => each.offsetParent));
  const heat = () => one('[name=opacity]'), heats = () => all('.heat').length;
  const busy = (tab) => { // Muting's first look is short: the whole of it is started as well
    const bar = one(`#${tab}-tab [data-work]:not([hidden])`), whole = one('#muting-tab [data-sweep]:not(:disabled)');
    if (!bar && tab === 'muting' && one('#muting-tab .heat')) whole?.click();
    return bar;
  };
  const chosen = (data) => one(`[data-for="${data.target}"]`);

  const steps = {
    drop: [(data) => give('[data-file]', data), {
      chips: mine,
      first_map: () => mine() && painted() >= 1 && says(),
      settled: () => mine() && painted() >= 3 && says() && still() }],
    retarget: [(data) => { unpaint(); chip(data.at); }, {
      first: (data) => asked(data) && painted() >= 1 && says(),
      all: (data) => asked(data) && painted() >= 3 && says() && still() }],
    five: [() => [1, 2, 3, 4, 3].forEach(chip), { end: (data) => asked(data) && painted() >= 3 && says() && still() }],
    network: [(data) => { one('[data-networks]').open = true; setTimeout(() => one(`[data-key="${data.key}"]`).click(), 0); }, {
      end: (data) => seeing.current() && seeing.seen.network === data.key && painted() >= 1 && says() }],
    slide: [() => change(heat(), +heat().value > 0.5 ? 0.2 : 0.9), {
      end: () => Math.abs(+getComputedStyle(one('.stage canvas')).opacity - +heat().value) < 0.01 }],
    hover: [() => {
      all('.map .tip').forEach((tip) => { tip.textContent = ''; });
      const box = one('.map .picture').getBoundingClientRect();
      one('.map .picture').dispatchEvent(new PointerEvent('pointermove', { bubbles: true, pointerType: 'mouse',
        clientX: box.left + box.width * Math.random(), clientY: box.top + box.height / 2 }));
    }, { end: () => all('.map .tip').every((tip) => tip.textContent) }],
    colours: [() => { unpaint(); change(one('[name=colours]'), one('[name=colours]').value === 'Viridis' ? 'Inferno' : 'Viridis'); }, {
      end: () => painted() >= 3 }],
    tab: [(data) => one(`#tab-${data.tab}-button`).click(), { end: content }],
    home: [() => one('#tab-maps-button').click(), { end: () => one('.stage').offsetParent }],
    work: [(data) => one(`#tab-${data.tab}-button`).click(), { end: (data) => busy(data.tab) }],
    bare_drop: [(data) => give('#photo input[type=file]', data), { first: () => heats() >= 1, all: () => heats() >= 3 }],
    bare_retarget: [() => all('[data-class]')[1].click(), { first: chosen, all: (data) => chosen(data) && heats() >= 3 }],
  };

  // Do it, and say after how many seconds each condition first held in a frame.
  window.clock = async ([name, data]) => {
    const [act, ends] = steps[name], found = {}, start = performance.now();
    act(data);
    while (Object.keys(found).length < Object.keys(ends).length && performance.now() - start < 60000) {
      await new Promise(requestAnimationFrame);
      for (const [end, holds] of Object.entries(ends))
        if (!(end in found) && holds(data)) found[end] = (performance.now() - start) / 1000;
    }
    return found;
  };
})();
