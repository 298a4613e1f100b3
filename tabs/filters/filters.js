// A click on a tile, or a number, shows a filter closely, in its place: nothing scrolls.
const draw = element.querySelector('[data-draw]');
let chosen = null;

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
  seeing.set({ tab: 'impressions', settings: { ...seeing.state.settings, impressions } });
});
