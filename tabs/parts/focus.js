// Where the focus goes when a drawing takes away, hides or disables what had it: to the same thing
// drawn anew, else to what stands nearest; into another tab, to its first sentence. And where it goes
// next: on a phone, whose css shows some parts in another order; and in grids of many (data-grid).
seeing.onPhones ||= (home, ...names) => { // `names`: the classes of its parts, as they are seen there
  const desk = [...home.children], phone = names.map((name) => home.querySelector(`:scope > .${name}`));
  const narrow = matchMedia('(width <= 40em)'), [stays] = phone; // a camera's picture would stop where it is moved
  const lay = () => {
    const order = narrow.matches ? phone : desk, at = order.indexOf(stays);
    stays.before(...order.slice(0, at));
    stays.after(...order.slice(at + 1));
  };
  narrow.addEventListener('change', lay);
  lay();
};
(() => {
  if (window.seeing.keeping) return;
  seeing.keeping = true;
  const FRAMES = '[data-place], .stage, .tour, .tab-body, .rail, .bar'; // which stay when what is in them is drawn anew
  const NEAR = 'a[href], button:not(.why), summary, [role="application"]'; // no help that would open, nor a phone's keyboard
  let last = null, soon = 0; // what has the focus, and how to find it again
  const usable = (each) => each.isConnected && !each.disabled && !each.closest('[inert]')
    && each.checkVisibility({ visibilityProperty: true });
  const kind = (each) => [each.tagName, each.name, each.classList[0], Object.keys(each.dataset)].join();
  const exact = (each) => [kind(each), each.ariaLabel, Object.values(each.dataset)].join();
  const alike = (frame, what) => [...frame.querySelectorAll(what.split(',')[0])].filter((each) => kind(each) === what);
  const learn = (element) => {
    const chain = [element], frame = element.closest(FRAMES);
    while (chain.at(-1).parentElement) chain.push(chain.at(-1).parentElement);
    const what = kind(element);
    last = { element, chain, frame, what, which: exact(element), at: frame ? alike(frame, what).indexOf(element) : 0 };
  };
  const twins = ({ frame, what }) => (frame ? alike(frame, what).filter(usable) : []);
  const same = (what) => twins(what).find((each) => exact(each) === what.which);
  const twin = (what) => same(what) ?? twins(what)[what.at];
  const nearest = ({ chain }) => { // the one before it, else the first
    for (const [i, home] of chain.entries()) {
      const from = chain[i - 1], found = home.isConnected ? [...home.querySelectorAll(NEAR)].filter(usable) : [];
      const before = (each) => from?.isConnected && each.compareDocumentPosition(from) & Node.DOCUMENT_POSITION_FOLLOWING;
      if (found.length) return found.findLast(before) ?? found[0];
    }
    return null;
  };
  const keep = () => {
    soon = 0;
    if (!last || ![document.body, last.element].includes(document.activeElement)) return;
    if (usable(last.element)) return last.element.focus({ preventScroll: true }); // again
    const now = `${seeing.state.tab}-tab`, left = last.chain.find((each) => each.matches('.tab-body') && each.id !== now);
    const next = left ? document.querySelector(`#${CSS.escape(now)} .say`) : twin(last) ?? nearest(last);
    next?.focus({ preventScroll: true });
  };
  addEventListener('focusin', (event) => learn(event.target));
  addEventListener('focusout', ({ target }) => queueMicrotask(() => { // by a click beside it, which means it
    if (last?.element === target && document.hasFocus() && usable(target)) last = null;
  }));
  new MutationObserver(() => { // a button that starts something has its Cancel a little later
    if (last && !last.element.isConnected && document.activeElement === document.body) same(last)?.focus({ preventScroll: true }); // before the next key
    if (last) soon ||= last.element.disabled ? setTimeout(keep, 300) : requestAnimationFrame(keep);
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['hidden', 'disabled', 'open', 'class', 'style'] });

  // ---- a grid of many is one stop of the Tab key; the arrows, Home and End walk in it ----
  const stops = new WeakMap(); // grid: where one was last
  const items = (grid) => [...grid.querySelectorAll('a[href], button')].filter(usable);
  const stopped = (grid) => { // before the key that leads on
    const all = items(grid), was = stops.get(grid), stop = all.includes(was) ? was : all[0];
    for (const each of all) each.tabIndex = each === stop ? 0 : -1;
  };
  const middle = (each) => { const box = each.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; };
  const below = (all, now, sign) => { // the nearest in the nearest row
    const [x, y] = middle(now), far = (each) => { const [u, v] = middle(each); return [sign * (v - y), Math.abs(u - x)]; };
    const found = all.map((each) => [far(each), each]).filter(([[down]]) => down > 4);
    return found.sort(([[a, b]], [[c, d]]) => (Math.abs(a - c) > 4 ? a - c : b - d))[0]?.[1];
  };
  addEventListener('focusin', ({ target }) => { const grid = target.closest('[data-grid]'); if (grid) stops.set(grid, target); });
  addEventListener('keydown', (event) => {
    if (event.key === 'Tab') return document.querySelectorAll('[data-grid]').forEach(stopped);
    const grid = event.target.closest?.('[data-grid]');
    if (!grid || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = items(grid), at = all.indexOf(event.target);
    const next = { ArrowLeft: () => all[at - 1], ArrowRight: () => all[at + 1], ArrowUp: () => below(all, event.target, -1),
      ArrowDown: () => below(all, event.target, 1), Home: () => all[0], End: () => all.at(-1) }[event.key];
    if (!next || at < 0) return;
    event.preventDefault();
    next()?.focus();
  });
})();
