// Mosaics: pictures whose tiles can be pointed at, clicked and walked through, any number in a tab.
// They are laid out here, in as many columns as fit, so a window may change without a question.
// pick(number, name) is told of a choice, `name` being the mosaic's; mark(number, name) marks one.
seeing.tiles ||= (tab, { pick }) => {
  const LEAST = 26, MOST = 720; // pixels across: of a tile that a finger finds, of what is enlarged
  const facts = new WeakMap(), laid = new WeakSet(), { body } = tab;
  const all = () => [...body.querySelectorAll('.tiles')];
  const know = (sheet) => {
    if (!facts.has(sheet)) {
      const data = JSON.parse(sheet.dataset.tiles), image = sheet.querySelector('img');
      facts.set(sheet, { ...data, columns: 0, at: data.order.indexOf(data.chosen), point: null, image });
    }
    return facts.get(sheet);
  };
  const lay = (sheet) => {
    const about = know(sheet), { order, pitch, across, image } = about, [high, wide] = pitch;
    const room = sheet.querySelector('.tiles-scroll').clientWidth;
    if (!room) return;
    const columns = Math.max(1, Math.min(across, Math.floor(room / Math.max(LEAST, wide))));
    sheet.querySelector('.tiles-sheet').style.width = Math.max(columns * wide, Math.min(room, MOST)) + 'px'; // ends with its column
    if (columns === about.columns) return;
    about.columns = columns;
    about.rows = Math.ceil(order.length / columns);
    const canvas = sheet.querySelector('canvas');
    Object.assign(canvas, { width: columns * wide, height: about.rows * high }); // its room, at once
    const paint = () => {
      if (about.columns !== columns) return;
      const ink = canvas.getContext('2d');
      order.forEach((_, i) => ink.drawImage(image, (i % across) * wide, Math.floor(i / across) * high, wide, high,
        (i % columns) * wide, Math.floor(i / columns) * high, wide, high));
      sheet.dataset.painted = columns;
    };
    image.decode().then(paint, () => {});
    put(sheet, '.tiles-mark', about.at);
  };
  const put = (sheet, selector, at) => {
    const mark = sheet.querySelector(selector), { columns, rows } = know(sheet);
    mark.hidden = at < 0 || !columns;
    Object.assign(mark.style, { width: 100 / columns + '%', height: 100 / rows + '%',
      left: (at % columns) * 100 / columns + '%', top: Math.floor(at / columns) * 100 / rows + '%' });
  };
  const tip = (sheet, at) => {
    put(sheet, '.tiles-point', at);
    const { kind, order } = know(sheet), text = at < 0 ? '' : `${kind} ${order[at]}`;
    sheet.querySelector('.tiles-tip').textContent = text;
  };
  const place = (event, sheet) => {
    const box = sheet.querySelector('canvas').getBoundingClientRect(), { columns, rows, order } = know(sheet);
    const column = Math.floor((event.clientX - box.left) / box.width * columns);
    const row = Math.floor((event.clientY - box.top) / box.height * rows), at = row * columns + column;
    return column >= 0 && column < columns && row >= 0 && at < order.length ? at : -1;
  };
  const choose = (sheet, at) => {
    if (at < 0) return;
    const about = know(sheet);
    about.at = about.point = at;
    put(sheet, '.tiles-mark', at);
    pick(about.order[at], about.name);
  };
  const save = (sheet) => sheet.querySelector('canvas').toBlob((blob) =>
    seeing.save(blob, `seeing-why-${know(sheet).kind.replaceAll(' ', '-')}s.png`));
  const under = (event) => event.target.closest?.('.tiles-sheet')?.closest('.tiles');
  body.addEventListener('click', (event) => {
    if (event.target.closest('.tiles-save')) save(event.target.closest('.tiles'));
    else if (under(event)) choose(under(event), place(event, under(event)));
  });
  body.addEventListener('pointermove', (event) => { const sheet = under(event); if (sheet) tip(sheet, place(event, sheet)); });
  body.addEventListener('pointerout', (event) => {
    const sheet = under(event);
    if (sheet && !sheet.contains(event.relatedTarget)) tip(sheet, -1);
  });
  body.addEventListener('keydown', (event) => {
    const sheet = under(event);
    if (!sheet) return;
    const about = know(sheet), { columns, order } = about, now = about.point ?? Math.max(0, about.at);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (step) tip(sheet, (about.point = Math.min(order.length - 1, Math.max(0, now + step))));
    else if (event.key === 'Enter' || event.key === ' ') choose(sheet, now);
    else return;
    event.preventDefault();
  });
  const layAll = () => all().forEach(lay);
  const sizes = new ResizeObserver(layAll);
  const greet = () => all().forEach((sheet) => {
    if (laid.has(sheet)) return;
    laid.add(sheet);
    sizes.observe(sheet);
    lay(sheet);
  });
  new MutationObserver(greet).observe(body, { childList: true, subtree: true });
  greet();
  return { mark: (number, name) => all().forEach((sheet) => {
    const about = know(sheet);
    if (about.name !== name) return;
    about.at = about.order.indexOf(number);
    about.point = null;
    put(sheet, '.tiles-mark', about.at);
  }) };
};
