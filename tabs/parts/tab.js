// The browser's side of a tab: asks when it is looked at and something is new, pulls slow work
// while both hold, fills places, keeps the settings.
seeing.tab ||= (element, server, key, props = {}) => {
  const body = element.querySelector('.tab-body');
  const bars = [...body.querySelectorAll('[data-work]')]; // of an act's own, or of all the rest
  const bar = (channel) => bars.find((each) => each.dataset.work === channel) || bars.find((each) => !each.dataset.work);
  const needs = body.dataset.needs?.split(' ');
  const place = (name) => body.querySelector(`[data-place="${name}"]`);
  const form = () => place('adjust')?.dataset.form;
  const turns = {}, tickets = {}, pulling = {}; // of the drawing ('') and of each act; the turn that pulls now: no slice may be asked for twice, or lost
  const told = seeing.teller(), hooks = {}, paused = new Map(); // what is said of channels that Cancel stopped
  let drawn = '', answered = '', asking = false, drawing = null, looking = false, begun = false, network = null, tries = 0, waits = 0;
  let unseen = '', dimming = null; // why it is not known what the photo shows; when another question's answer is dimmed
  const rest = () => { bar('').hidden = true; body.classList.remove('busy'); };
  const dim = () => body.classList.toggle('stale', Boolean(answered) && !answered.startsWith(seeing.stamp(needs)));

  // ---- settings ----
  const { value, put } = seeing;
  const controls = () => [...body.querySelectorAll('[data-first]')];
  const named = (name) => body.querySelector(`[data-first][name="${name}"]`);
  const chosen = () => Object.fromEntries(controls().map((each) => [each.name || each.getAttribute('name'), value(each)]));
  const changed = () => Object.fromEntries(controls()
    .map((each) => [each.getAttribute('name'), String(value(each)), each.dataset.first])
    .filter(([, now, first]) => now.toLowerCase() !== first.toLowerCase())
    .map(([name, now]) => [name, now]));
  const mine = () => seeing.state.settings?.[key] || {};
  const shown = () => { // the form as the address says it
    for (const control of controls()) put(control, mine()[control.getAttribute('name')] ?? control.dataset.first);
  };
  const matters = () => Object.entries(mine()).filter(([name]) => !named(name)?.matches('[data-here]')).sort();
  const stamp = () => seeing.stamp(needs) + JSON.stringify(matters());
  body.addEventListener('input', (event) => {
    const control = event.target.closest('[data-first]');
    if (!control) return;
    const here = control.matches('[data-here]');
    if (!here && ['range', 'text', 'number'].includes(control.type)) return; // when it is let go
    seeing.setting(key, changed());
    if (here) hooks.here?.(control.getAttribute('name'), value(control));
  });
  body.addEventListener('change', (event) => {
    if (event.target.closest('[data-first]')) seeing.setting(key, changed());
  });
  body.addEventListener('submit', (event) => event.preventDefault());

  // ---- answers ----
  const fill = (answer, channel) => {
    const { places = {}, data = {}, settings = {}, state = {} } = answer;
    const fresh = data.form && data.form !== (form() ?? network); // widgets for another network
    if (data.form) network = data.form;
    for (const [name, html] of Object.entries(places)) {
      const box = place(name);
      if (!box) continue;
      if (box.innerHTML !== html) box.innerHTML = html;
      if (name === 'problem') box.hidden = !html;
      if (name === 'adjust') box.dataset.form = data.form;
    }
    if (fresh) { shown(); hooks.form?.(); }
    for (const [name, given] of Object.entries(settings)) if (named(name)) put(named(name), given);
    if (Object.keys(settings).length) {
      const asDrawn = channel === '' || drawn === stamp();
      seeing.state.settings = { ...seeing.state.settings, [key]: changed() };
      seeing.write('replace');
      if (asDrawn) drawn = stamp();
    }
    if (channel === '') body.classList.toggle('empty', Boolean(data.empty));
    if (channel === '' && ('say' in places || !answer.more)) { answered = drawn; dim(); }
    if (answer.file) seeing.save(new Blob([seeing.bytes(answer.file.data)]), answer.file.name);
    progress(answer, channel);
    hooks.show?.(data, places, channel);
    if (state.settings) state.settings = { ...seeing.state.settings, ...state.settings };
    if (Object.keys(state).length) seeing.set(state);
  };
  const tell = (sentence) => { Object.assign(place('problem'), { textContent: sentence, hidden: !sentence }); };
  const progress = (answer, channel) => {
    const now = answer.work || answer.wait, work = bar(channel);
    if (paused.has(channel) && answer.more) return;
    if (!now) { if (!answer.more && work.dataset.channel === channel) work.hidden = true; return; }
    if (live()) told.stands(channel, now.words);
    work.hidden = false;
    work.dataset.channel = channel;
    work.querySelector('progress').value = now.done;
    work.querySelector('span').textContent = now.words;
    Object.assign(work.querySelector('button'), { textContent: 'Cancel', value: '', hidden: Boolean(answer.wait) });
  };
  const hold = (channel, words) => { // until the visitor wants to go on
    paused.set(channel, words);
    body.classList.remove('busy');
    stopped(channel);
    told.ends(channel); seeing.hear(words);
    hooks.over?.(channel);
  };
  const stopped = (channel) => {
    bar(channel).querySelector('span').textContent = paused.get(channel);
    Object.assign(bar(channel).querySelector('button'), { textContent: 'Go on', value: 'on', hidden: false }); // words may be translated by the browser
  };

  // ---- asking ----
  const live = () => seeing.state.tab === key;
  const call = async (name, data) => {
    let waited = false;
    const lost = { problem: 'The server did not answer: please try again.', lost: true };
    for (;;) {
      let answer;
      try { answer = (await server[name](data)) || lost; } catch { return lost; }
      if (!answer.busy) { if (waited) tell(''); return answer; }
      waited = true;
      tell(answer.problem); // and asks again by itself, while it is still looked at
      await new Promise((over) => setTimeout(over, 1000 * answer.busy));
      if (!live()) return lost;
    }
  };
  const question = () => ({ ...seeing.asked(), visit: seeing.visit, settings: chosenFor(),
    form: form() ?? network, knows: seeing.knows() });
  const chosenFor = () => ({ ...(form() === seeing.asked().network // another one has its own defaults
    ? Object.fromEntries(controls().filter((each) => !each.matches('[data-here]'))
      .map((each) => [each.getAttribute('name'), value(each)])) : {}), ...mine() });
  const later = () => Math.min(700, 150 * 2 ** waits++); // ms: what lies on this machine is there within some 300
  const pull = async (channel, answer, turn) => {
    pulling[channel] = turn;
    for (;;) {
      if (turns[channel] !== turn) return false;
      tickets[channel] = answer.more || null;
      if (!live()) { // what was left comes behind what is looked at
        await new Promise((over) => setTimeout(over, 300));
        if (turns[channel] !== turn) return false;
      }
      if (answer.wait) { // the network left meanwhile, or another machine has yet to load it
        progress(answer, channel);
        await new Promise((over) => setTimeout(over, later()));
        if (turns[channel] !== turn) return false;
        if (answer.more && live()) { if (!(answer = await next(channel, turn))) return false; continue; }
        delete pulling[channel];
        if (!answer.more) { drawn = ''; ask(); }
        return false;
      }
      if (answer.problem) { tell(answer.problem); bar(channel).hidden = true; told.ends(channel); break; }
      waits = 0;
      fill(answer, channel);
      if (!begun) { begun = await seeing.frame(); if (turns[channel] !== turn) return false; } // what a visitor came for is seen before more is asked
      if (answer.paused) hold(channel, answer.work.words);
      if (!answer.more) break;
      if (!live() || paused.has(channel)) { delete pulling[channel]; return false; }
      if (!(answer = await next(channel, turn))) return false;
    }
    delete pulling[channel];
    if (channel === '') body.classList.remove('busy'); // an act ends beside a drawing that goes on
    told.ends(channel, live() && 'Done.');
    hooks.over?.(channel);
    return true;
  };
  const learn = ({ data }, whole) => { // what the photo shows; classes that can't be had are left out of it
    if (!data?.seen || whole !== seeing.stamp()) return;
    seeing.arrived(data.seen); // may name the targets
    if (data.seen.wrong && live()) tell(unseen = data.seen.wrong);
  };
  // What the photo shows, where this tab is not drawn anew for it: nothing under way ends.
  const see = async () => {
    if (looking || seeing.knows()) return;
    looking = true;
    const whole = seeing.stamp(), answer = await call('see', question()), now = whole === seeing.stamp();
    looking = false;
    if (answer.lost) return again();
    reached();
    if (answer.away && seeing.away(answer.problem)) return;
    if (answer.wait) setTimeout(ask, later());
    else if (!now) ask();
    else if (answer.data) learn(answer, whole);
    else if (answer.gone) seeing.tell('gone');
    if (answer.problem && live() && now) tell(unseen = answer.problem);
  };
  const again = () => { // the server can't be reached: goes on by itself as soon as it can
    seeing.pause(tries++).then(() => asking || ask());
    if (live()) tell(seeing.AWAY);
  };
  const reached = () => { if (tries) { tries = 0; tell(''); } };
  const next = async (channel, turn) => { // the next slice; null where it has to wait
    const answer = await call(tickets[channel] === 'rest' ? 'rest' : 'more', tickets[channel]); // of what came with the page
    if (!answer.lost) { reached(); return answer; }
    if (turns[channel] === turn) { delete pulling[channel]; again(); }
    return null;
  };
  const leave = () => { for (const channel in turns) turns[channel] += 1; };
  const ask = async () => {
    if (!live()) return dim(); // who pulls sees it, and stops
    const now = stamp();
    if (now === drawn) { // seen already: go on where it was left
      for (const channel in tickets)
        if (tickets[channel] && !paused.has(channel) && pulling[channel] !== turns[channel]) { const turn = (turns[channel] += 1); resume(channel, turn); }
      dim();
      if (pulling[''] !== turns['']) { // back at what is done, or stopped, from what was asked meanwhile
        body.classList.remove('busy');
        if (!bar('').dataset.channel) paused.has('') ? stopped('') : (bar('').hidden = true); // and no act's
      }
      if (unseen && place('problem').textContent === unseen) tell('');
      unseen = '';
      see();
      return;
    }
    leave();
    if (asking) return;
    asking = true;
    body.classList.add('busy');
    clearTimeout(dimming); dimming = setTimeout(dim, 250); // until then it may stand as if it were this one's
    const turn = (turns[''] = (turns[''] || 0) + 1), whole = seeing.stamp();
    drawing = seeing.early(key).then((early) => early || call('ask', question()));
    setTimeout(() => asking && turns[''] === turn && live() && seeing.hear('Working …'), 1000);
    const answer = await drawing;
    asking = false;
    if (turns[''] !== turn || now !== stamp()) { ask(); return; }
    if (answer.lost) { rest(); again(); return; }
    reached();
    if (answer.away && seeing.away(answer.problem)) return rest();
    if (answer.wait) {
      dim(); // what is here is another network's
      progress(answer, '');
      setTimeout(() => stamp() === now && drawn !== now && ask(), later());
      return;
    }
    if (answer.gone) seeing.tell('gone');
    for (const channel in tickets) { tickets[channel] = null; told.ends(channel); }
    body.querySelectorAll('[data-passing]').forEach((each) => { each.innerHTML = ''; });
    paused.clear();
    for (const each of bars) each.hidden = true; // what they tell of is what was asked before
    hooks.asked?.();
    if (answer.problem) {
      drawn = now;
      rest();
      tell(answer.problem);
      if (answer.away) { place('say').textContent = ''; body.classList.add('empty'); return; }
      if (!answer.gone) see(); // a setting that can't be does not hide what the photo shows
      return;
    }
    tell('');
    learn(answer, whole);
    drawn = stamp();
    pull('', answer, turn);
    see();
  };
  const resume = async (channel, turn) => {
    pulling[channel] = turn;
    const answer = await next(channel, turn);
    if (!answer || turns[channel] !== turn) return;
    if (answer.problem) { tickets[channel] = null; delete pulling[channel]; if (channel === '') { drawn = ''; ask(); } else { bar(channel).hidden = true; tell(answer.problem); hooks.over?.(channel); } return; }
    pull(channel, answer, turn);
  };
  for (const work of bars) work.querySelector('[data-cancel]').addEventListener('click', ({ currentTarget: button }) => {
    const channel = work.dataset.channel || '';
    if (button.value) {
      paused.delete(channel);
      Object.assign(button, { textContent: 'Cancel', value: '' });
      if (pulling[channel] !== turns[channel]) resume(channel, (turns[channel] += 1));
      return;
    }
    hold(channel, 'Stopped; what is here stays.'); // the slice under way is still shown
  });

  const ring = (name, data = {}) => call('call', { ...data, visit: seeing.visit, call: name }); // the tab's own calls

  // An act of the tab's own; of gestures that come faster than answers, the newest is sent next.
  const waiting = {};
  const act = async (name, data = {}) => {
    if (name in waiting) { waiting[name] = data; return null; }
    waiting[name] = null;
    paused.delete(name);
    tickets[name] = null; // nobody goes on with the one before
    const turn = (turns[name] = (turns[name] || 0) + 1), asked = stamp(), whole = seeing.stamp();
    const answer = await call('act', { ...question(), act: name, data });
    while (asking) await drawing; // which takes away what passes with a question
    const next = waiting[name];
    delete waiting[name];
    if (asked !== stamp() || !live()) { if (next && live()) act(name, next); return null; }
    if (answer.gone) seeing.tell('gone');
    if (!answer.problem) tell('');
    learn(answer, whole);
    const pulled = pull(name, answer, turn); // shown before the next is sent: who goes on sees it move
    if (next) act(name, next);
    await pulled;
    return answer;
  };

  seeing.on((what) => { if (what === 'state') { if (live()) shown(); ask(); } });
  return Object.assign(hooks, { key, element, body, place, server, act, call: ring, tell, ask,
    value: (name) => (named(name) ? value(named(name)) : undefined),
    set: (name, given) => { put(named(name), given); seeing.setting(key, changed()); },
    // The script is done: show what came with the page, or ask.
    ready: () => {
      shown();
      seeing.tell('drawn');
      if (props.first && seeing.fresh && live()) {
        const answer = JSON.parse(props.first);
        turns[''] = 1;
        if (answer.data?.seen) seeing.arrived(answer.data.seen);
        drawn = stamp();
        pull('', answer, 1);
      } else ask();
    } });
};
