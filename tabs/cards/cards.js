// A card, of a unit or of a class.
const { body } = tab, one = (selector) => element.querySelector(selector);
let card = null, shown = null; // what is shown; the settings and network that it is of
const number = one('[data-number]');
const mine = () => seeing.state.settings?.[tab.key] || {};
const open = (settings) => seeing.setting(tab.key, settings, 'push');

const fit = () => { // the photo's shape
  const [width, height] = seeing.seen?.size || [4, 3];
  body.style.setProperty('--shape', `${width} / ${height}`);
  body.style.setProperty('--ratio', width / height);
};
tab.show = (data) => {
  fit();
  if (!data.card) return;
  card = data.card;
  shown = JSON.stringify([card.network, mine()]);
  body.classList.toggle('of-class', 'class' in card);
  number.value = card.channel ?? '';
  number.max = card.most ?? '';
  scrollTo({ top: 0 });
};
seeing.on((what) => { // another network has other units: an address of the one before says nothing there
  if (what !== 'state' || !card || seeing.state.network === card.network) return;
  if (shown === JSON.stringify([card.network, mine()])) { shown = null; open(card.name ? { class: card.name } : {}); }
});
number.addEventListener('change', () => { if (number.value !== '') open({ layer: tab.value('layer'), unit: number.value }); });
body.addEventListener('change', (event) => { if (event.target.name === 'layer') open({ layer: event.target.value }); });
seeing.search(one('[data-find]'), one('#card-classes'), (_, label) => open({ class: label }));
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || !card) return;
  const { settings } = seeing.state;
  if (button.matches('[data-unit]')) open({ layer: card.layer, unit: button.dataset.unit });
  else if (button.matches('[data-draw]')) tab.act('draw', card);
  else if (button.matches('[data-copy]')) {
    navigator.clipboard?.writeText(location.href).then(() => { button.textContent = 'Copied'; }, () => tab.tell('The browser does not allow copying: take the address from its bar.'));
  } else if (button.matches('[data-channels]'))
    seeing.set({ tab: 'activations', settings: { ...settings, activations: { layer: card.layer, unit: `${card.layer}:${card.channel}` } } });
  else if (button.matches('[data-impressions]')) {
    const impressions = 'class' in card ? { class: card.name, how: 'both' } : { what: 'unit', layer: card.layer, channel: String(card.channel), go: '1' };
    seeing.set({ tab: 'impressions', settings: { ...settings, impressions } });
  }
});
