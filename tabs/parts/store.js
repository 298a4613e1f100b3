// What is asked, for the whole page: one state, kept in step with the address.
(() => {
  if (window.seeing) return;
  const KEPT = ['photo', 'network', 'targets', 'against', 'framing'];
  const SHORT = ['layer', 'unit', 'class']; // settings of cards, which have addresses to be passed on
  const listeners = [];
  let first = {}, tabs = [], examples = [];
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const part = (state, names) => JSON.stringify(names.map((name) => state[name] ?? null));

  const seeing = (window.seeing = {
    state: {},
    seen: null, // what the server said of the photo: chips, pictures, names
    note: '', // a word about the address, for the rail
    visit: Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(36)).join(''),

    // The question as the server wants it.
    asked: () => Object.fromEntries(KEPT.map((name) => [name, seeing.state[name] ?? null])),
    stamp: (needs) => part(seeing.state, needs || KEPT),

    // Does the page know what the network sees, for all that is asked?
    knows: () => {
      const { seen, state } = seeing;
      return Boolean(seen) && seen.stamp === part(state, ['photo', 'network', 'framing'])
        && (state.targets || []).every((each) => seen.chips.some((chip) => chip.index === each))
        && (seen.against ?? null) === (state.against ?? null) && state.targets !== null;
    },
    // Is what it knows about this photo and network at all?
    current: () => Boolean(seeing.seen)
      && seeing.seen.stamp === part(seeing.state, ['photo', 'network', 'framing']),

    // The classes asked for, by name, as far as the page knows them.
    names: () => (seeing.current() ? seeing.state.targets || [] : [])
      .map((index) => seeing.seen.chips.find((chip) => chip.index === index)?.label ?? `class ${index}`),

    on: (heard) => { listeners.push(heard); return () => listeners.splice(listeners.indexOf(heard), 1); },
    tell: (what) => [...listeners].forEach((heard) => heard(what)),

    // Change what is asked. how: 'push' for what Back undoes, 'replace' for the rest.
    set: (patch, how = 'push') => {
      const before = JSON.stringify(seeing.state);
      Object.assign(seeing.state, patch);
      if (JSON.stringify(seeing.state) === before) return;
      if (how) seeing.write(how);
      seeing.tell('state');
    },
    setting: (tab, values, how = 'replace') =>
      seeing.set({ settings: { ...seeing.state.settings, [tab]: values } }, how),

    // The server's word on the photo arrived: classes that nobody had chosen are known now.
    arrived: (seen) => {
      if (seen.picture?.startsWith('data:')) { // decoded once, wherever it is shown
        if (seeing.seen?.picture) setTimeout(URL.revokeObjectURL, 5000, seeing.seen.picture);
        const bytes = seeing.bytes(seen.picture.split(',')[1]);
        seen.picture = URL.createObjectURL(new Blob([bytes], { type: 'image/jpeg' }));
      }
      seeing.seen = { ...seen, stamp: part(seeing.state, ['photo', 'network', 'framing']) };
      const { targets, against = null } = seen; // by number, whatever the address called them
      if (!same([seeing.state.targets, seeing.state.against], [targets, against])) {
        Object.assign(seeing.state, { targets, against });
        seeing.write('replace');
      }
      seeing.tell('seen');
    },

    // Bring a file to the server; throws the sentence that says why not. (Gradio's own way shows
    // what the server said as it came.)
    upload: async (file, what, most) => ({ path: (await seeing.send('upload', file, what, most))[0] }),
    // A photo, which is taken in as it arrives; nothing where Gradio must ask who sends it.
    photo: (file) => seeing.send('upload_photo', file, 'photo', 20),
    AWAY: 'The server can’t be reached: this goes on by itself as soon as it can.',
    pause: (tries) => new Promise((over) => { // before what was lost is tried again
      setTimeout(over, 1000 * Math.min(8, 2 ** tries));
      addEventListener('online', over, { once: true });
    }),
    // Send until it has arrived, while it is wanted still; tell(AWAY) once.
    persist: async (send, still, tell) => {
      for (let tries = 0; still(); await seeing.pause(tries++)) {
        try { return await send(); } catch (error) { if (error !== seeing.AWAY) throw error; }
        if (!tries && still()) tell(seeing.AWAY);
      }
      return null;
    },
    send: async (where, file, what, most) => {
      const form = new FormData();
      form.append('files', file);
      const body = where === 'upload' ? form : file;
      const { root, api_prefix } = window.gradio_config;
      let answer = null, said = '';
      try {
        answer = await fetch(`${root}${api_prefix}/${where}`, { method: 'POST', body });
        if (answer.ok) return await answer.json();
        if (where === 'upload_photo' && [404, 405].includes(answer.status)) return null;
        said = await answer.text();
      } catch {
        if (!file.size || !(await file.slice(0, 1).arrayBuffer().catch(() => null))) throw `That is a folder, or a file that can’t be read: choose a ${what} itself.`;
        if (!answer) throw seeing.AWAY;
      }
      throw said.match(/[\w ]+: try again in [\w ]+\./)?.[0]
        ?? (answer?.status === 413 || /large|exceed/i.test(said) ? `That file is too large: ${what}s may have ${most} MB.`
          : `The ${what} did not arrive: please try again.`);
    },

    // What was just put on the page stands there to be seen, where it is looked at.
    frame: () => new Promise((over) => {
      requestAnimationFrame(() => setTimeout(over, 0, true)); // by then the frame is drawn
      setTimeout(over, 200, true);
    }),

    // Say something to those who hear the page, of what is not read out where it stands.
    hear: (words) => {
      const said = document.createElement('span'); // a new one, so that the same words are said again
      said.textContent = words;
      document.querySelector('[data-heard]').append(said);
      setTimeout(() => said.remove(), 5000);
    },
    // How slow work stands: after a second, every ten, and at its end. Each channel has its own.
    teller: () => {
      const due = new Map();
      return {
        stands: (channel, words) => {
          const now = performance.now(), [next, told] = due.get(channel) ?? [now + 1000, false];
          if (now >= next) seeing.hear(words);
          due.set(channel, now >= next ? [now + 10_000, true] : [next, told]);
        },
        ends: (channel, words) => {
          if (due.get(channel)?.[1] && words) seeing.hear(words);
          due.delete(channel);
        },
      };
    },

    // ---- what scripts need now and then ----
    value: (control) => {
      if (control.tagName === 'FIELDSET')
        return [...control.querySelectorAll('input:checked')].map((each) => each.value);
      if (control.type === 'checkbox') return control.checked;
      return ['number', 'range'].includes(control.type) ? +control.value : control.value;
    },
    put: (control, given) => {
      if (control.tagName === 'FIELDSET') {
        const chosen = Array.isArray(given) ? given : String(given).split(',');
        for (const each of control.querySelectorAll('input')) each.checked = chosen.includes(each.value);
      } else if (control.type === 'checkbox') control.checked = given === true || /^true$/i.test(given);
      else control.value = given;
    },
    escape: (text) => { const p = document.createElement('p'); p.textContent = text; return p.innerHTML.replaceAll('"', '&quot;'); },
    percent: (chance) => (chance < 0.0005 ? '<0.1\u00a0%' : chance >= 0.9995 && chance < 1 ? '>99.9\u00a0%' : `${(100 * chance).toFixed(1)}\u00a0%`),
    bytes: (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)),
    point: (event, area) => { // where in an element, as fractions of it
      const edge = area.getBoundingClientRect();
      return [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height].map((v) => Math.min(1, Math.max(0, v)));
    },
    one: (files, kind) => { // of several, the first of that kind, and a word on the others
      const all = [...(files || [])], file = all.find((each) => each.type.startsWith(kind)) ?? all[0];
      return [file, all.length > 1 ? `Of ${all.length} files “${file.name}” was taken: there is room for one at a time.` : ''];
    },
    save: (blob, name) => { // as a file of the visitor's
      const link = document.createElement('a');
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    },

    // ---- the address ----
    query: () => {
      const { state } = seeing, query = new URLSearchParams();
      query.set('model', state.network);
      query.set('tab', state.tab);
      if (state.targets?.length) query.set('target', state.targets.join(','));
      if (state.against !== null && state.against !== undefined) query.set('against', state.against);
      if (state.framing === 'crop') query.set('framing', 'crop');
      if (state.photo?.example) query.set('example', state.photo.example);
      if (state.photo?.own) query.set('photo', 'own');
      if (state.step) query.set('step', state.step);
      for (const [tab, values] of Object.entries(state.settings || {}))
        for (const [name, value] of Object.entries(values)) query.set(tab === 'cards' && state.tab === tab ? name : `${tab}.${name}`, value);
      return query;
    },
    write: (how) => {
      const now = new URLSearchParams(location.search);
      const query = seeing.query();
      for (const name of ['__theme', 'view']) if (now.has(name)) query.set(name, now.get(name));
      const url = location.pathname + '?' + query.toString().replaceAll('%2C', ',');
      const kept = { own: seeing.state.photo?.own || null };
      if (kept.own) sessionStorage.setItem('own', kept.own);
      history[how + 'State'](kept, '', url);
    },
    read: (search, kept) => {
      const query = new URLSearchParams(search), state = structuredClone(first);
      const numbers = (text) => (text || '').split(',').filter(Boolean)
        .map((each) => (/^\d{1,6}$/.test(each) ? +each : each)).slice(0, 8);
      seeing.note = '';
      if (query.has('network') && !query.has('model')) query.set('model', query.get('network'));
      if (query.has('model')) state.network = query.get('model').slice(0, 120);
      for (const name of SHORT) if (query.has(name)) query.set(`cards.${name}`, query.get(name));
      if (query.has('cards.unit') || query.has('class')) state.tab = 'cards';
      if (query.has('tab')) state.tab = query.get('tab').slice(0, 40);
      if (query.has('example')) {
        const example = query.get('example');
        state.photo = examples.includes(example) ? { example } : null;
        if (!state.photo) seeing.note = 'The example of this link is none of ours: choose one of those shown, or drop a photo.';
      }
      if (query.get('photo') === 'own') {
        const own = kept?.own || sessionStorage.getItem('own');
        state.photo = own ? { own } : null;
        if (!own) seeing.note = 'The photo of this link is not in it: drop it here to see the same.';
        else if (!kept?.own) seeing.note = 'The photo of a link is not in it: this one is your own.';
      }
      if (query.has('target')) state.targets = numbers(query.get('target'));
      else if (query.has('example') || query.has('model')) state.targets = null;
      if (query.has('against')) state.against = numbers(query.get('against'))[0] ?? null;
      if (query.get('framing') === 'crop') state.framing = 'crop';
      if (query.has('step')) state.step = query.get('step').slice(0, 3);
      for (const [name, value] of query) {
        const [, tab, setting] = name.match(/^([a-z]+)\.([\w-]+)$/) || [];
        if (tab) state.settings[tab] = { ...state.settings[tab], [setting]: value.slice(0, 300) };
      }
      if (!tabs.includes(state.tab)) state.tab = first.tab;
      return state;
    },
    // At page load, with what is asked when the address says nothing.
    begin: ({ tabs: known, examples: shown, ...given }) => {
      [tabs, examples] = [known, shown]; // Gradio may not have drawn their buttons yet
      first = { framing: 'whole', against: null, settings: {}, step: null, ...given };
      seeing.state = seeing.read(location.search, history.state);
      seeing.fresh = same(seeing.state, first); // then the answer came with the page
      addEventListener('popstate', (event) => {
        seeing.state = seeing.read(location.search, event.state);
        seeing.tell('state');
      });
      seeing.begun = true; // what Gradio drew before this waits for it
      queueMicrotask(() => dispatchEvent(new Event('seeing-begun')));
    },
  });
})();
