// A field that finds a class of the network by its name, in the browser. accept(index, label) is
// told of the choice; `list` shows what was found.
seeing.search ||= (input, list, accept) => {
  const { escape } = seeing;
  let at = -1, listed = null; // the place in the list, and what it was found for
  const close = () => { list.hidden = true; at = -1; listed = null; input.setAttribute('aria-expanded', false); input.removeAttribute('aria-activedescendant'); };
  const step = (to) => {
    const items = [...list.querySelectorAll('[data-index]')];
    at = items.length ? Math.max(0, Math.min(items.length - 1, to)) : -1;
    items.forEach((item, i) => item.setAttribute('aria-selected', i === at));
    if (at >= 0) input.setAttribute('aria-activedescendant', items[at].id);
  };
  const look = async () => {
    const wanted = input.value.trim().toLowerCase();
    if (!wanted) return close();
    const all = await seeing.labels(), rank = (label) => { const i = label.toLowerCase().indexOf(wanted); return i < 0 ? 9 : i === 0 ? 0 : /\W/.test(label[i - 1]) ? 1 : 2; };
    if (input.value.trim().toLowerCase() !== wanted) return;
    const found = (all ?? []).map((label, index) => [rank(label), label, index]).filter(([order]) => order < 9).sort((a, b) => a[0] - b[0] || a[1].length - b[1].length).slice(0, 8);
    list.innerHTML = found.map(([, label, index], i) => `<li role="option" id="${list.id}-${i}" data-index="${index}">${escape(label)}</li>`).join('')
      || `<li role="option" id="${list.id}-none" aria-disabled="true">${all ? 'No class has that in its name: try another word.' : 'The names of the classes did not come: try again in a moment.'}</li>`;
    list.hidden = false;
    listed = all && wanted;
    input.setAttribute('aria-expanded', true);
    step(0);
    if (!found.length) input.setAttribute('aria-activedescendant', list.firstChild.id); // which is read out
  };
  const take = (item) => {
    if (!item) return;
    accept(+item.dataset.index, item.textContent);
    input.value = '';
    close();
  };
  const enter = async () => { // names may still be on their way
    if (listed !== input.value.trim().toLowerCase()) await look();
    take(list.querySelectorAll('[data-index]')[at]);
  };
  input.addEventListener('focus', () => seeing.labels());
  input.addEventListener('input', look);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') { event.preventDefault(); step(at + (event.key === 'ArrowDown' ? 1 : -1)); }
    else if (event.key === 'Enter') { event.preventDefault(); enter(); }
    else if (event.key === 'Escape') close();
  });
  list.addEventListener('pointerdown', (event) => { event.preventDefault(); take(event.target.closest('[data-index]')); });
  input.addEventListener('blur', close);
};
