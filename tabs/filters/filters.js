// A click on a tile, or a number, shows a filter closely, in its place: nothing scrolls.
const draw = element.querySelector('[data-draw]');
let chosen = null;
seeing.onPhones(element.querySelector('.filters-both'), 'filters-closer', 'filters-all');

const pick = (filter) => {
  tab.set('filter', filter);
  tab.act('pick', { filter });
};
const mosaics = seeing.tiles(tab, { pick: (number, name) => { if (name === 'filters') pick(number); } });
tab.show = (data) => {
  if (!data.chosen) return;
  chosen = data.chosen;
  mosaics.mark(chosen.filter, 'filters');
  draw.hidden = !chosen.drawable;
  tab.body.classList.toggle('deeper', !chosen.first);
};
element.addEventListener('change', (event) => { if (event.target.name === 'filter') pick(tab.value('filter')); });
draw.addEventListener('click', () => { // in the Impressions tab, at once
  const impressions = { what: 'unit', layer: chosen.layer, channel: String(chosen.filter), go: '1' };
  const { network, settings } = seeing.state, other = chosen.network !== network;
  seeing.set({ tab: 'impressions', settings: { ...settings, impressions },
    ...(other && { network: chosen.network, targets: null, against: null }) });
});
element.addEventListener('click', (event) => {
  const { take, layer } = event.target.closest('button')?.dataset || {};
  if (take) tab.act(take);
  if (layer) { tab.set('layer', layer); tab.body.scrollIntoView({ block: 'start' }); }
});
