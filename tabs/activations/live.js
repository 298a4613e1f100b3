// The camera: frames go to the server one by one, the next when an answer is there.
{
  const MINUTE = 'Live; it stops by itself after a minute.', UNSEEN = 'Stopped while out of sight.', PHOTO = 'Stopped for the photo.', BEATS = 2; // frames under way at a time
  const part = (name) => element.querySelector(`[data-${name}]`);
  const button = part('live'), lens = element.querySelector('video.live'), canvas = document.createElement('canvas');
  let stream = null, ticket = '', times = [], waits = [], late = 0, last = 0, sent = 0, grid = null;
  let asking = false, behind = false; // the pins still show a frame
  let below = ''; // the photo that it covers
  const lies = () => JSON.stringify(seeing.state.photo);

  const stop = (text) => {
    if (!stream) return;
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    lens.srcObject = null;
    body.classList.remove('live-on');
    button.textContent = 'Camera, live';
    fit();
    say(text);
    photo();
  };
  const away = () => seeing.state.tab !== tab.key;
  const photo = () => { // the pins lie over it again, when they are looked at
    behind = away();
    if (!behind && seeing.state.photo) tab.act('pin', { pins: tab.value('pins') });
  };
  const put = (image, source) => { image.src = source; return image.decode().catch(() => 0); };
  const show = async (answer, began, number) => {
    if (number < last) { late += 1; return; }
    last = number;
    grid = answer.sheet ? answer : null;
    part('live-sheet').hidden = !answer.sheet;
    part('live-title').textContent = part('live-heat').alt = answer.title;
    part('live-classes').innerHTML = answer.classes;
    const shown = [put(part('live-heat'), answer.heat)];
    if (answer.sheet) shown.push(put(part('live-sheet'), answer.sheet));
    body.querySelectorAll('.pin img').forEach((image, i) => { if (answer.pins[i]) shown.push(put(image, answer.pins[i])); });
    await Promise.all(shown);
    const now = performance.now();
    times = [...times, now].filter((time) => now - time < 3000);
    waits = [...waits, [now - began, answer.network_ms]].slice(-300);
    const rate = times.length > 1 ? (times.length - 1) * 1000 / (now - times[0]) : 0;
    part('rate').textContent = `${rate.toFixed(1)} frames/s · network ${Math.round(answer.network_ms)} ms of ${Math.round(now - began)} ms${late ? ` · ${late} late frames dropped` : ''}`;
    Object.assign(element.dataset, { frames: (+element.dataset.frames || 0) + 1, fps: rate.toFixed(2), waits: JSON.stringify(waits.map((pair) => pair.map(Math.round))) });
  };
  const wanted = () => ({ ticket, network: seeing.state.network, layer: about?.network === seeing.state.network ? tab.value('layer') : null, channel: chosen, pins: tab.value('pins'),
    target: seeing.state.targets?.[0] ?? null, heat: part('heat').value, width: Math.round(element.querySelector('.act-sheet').clientWidth),
    per: tab.value('per'), gain: tab.value('gain'), gamma: tab.value('gamma') });
  const beat = async (mine) => {
    while (stream === mine) {
      if (!element.isConnected || document.hidden) return stop(UNSEEN);
      if (!element.offsetParent || !lens.videoWidth) { await new Promise((next) => setTimeout(next, 50)); continue; }
      const scale = Math.min(1, 320 / Math.max(lens.videoWidth, lens.videoHeight));
      canvas.width = Math.round(lens.videoWidth * scale);
      canvas.height = Math.round(lens.videoHeight * scale);
      canvas.getContext('2d').drawImage(lens, 0, 0, canvas.width, canvas.height);
      const began = performance.now(), number = ++sent;
      const answer = await tab.call('frame', { ...wanted(), image: canvas.toDataURL('image/jpeg', 0.8) });
      if (stream !== mine) return;
      if (answer.late) { late += 1; continue; }
      if (answer.wait) { await new Promise((next) => setTimeout(next, 300)); continue; }
      if (!answer.heat) return stop(answer.over || answer.problem || 'The network is on its way: start the camera again.');
      await show(answer, began, number);
    }
  };
  const start = async () => {
    if (!navigator.mediaDevices) return say('This browser gives a camera to https pages only.');
    if (asking) return;
    asking = true;
    say('Asking for the camera …');
    let given = null;
    try {
      given = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 320 }, height: { ideal: 240 }, facingMode: 'environment' } });
      ({ ticket } = await tab.call('ticket'));
      stream = given;
      below = lies();
      lens.srcObject = given;
      await lens.play();
    } catch {
      given?.getTracks().forEach((track) => track.stop());
      stream = null;
      return say('The camera could not be used: allow it for this page, and try again.');
    } finally { asking = false; }
    if (away()) return stop(UNSEEN);
    times = []; waits = []; late = 0;
    body.classList.add('live-on');
    body.style.setProperty('--shape', `${lens.videoWidth} / ${lens.videoHeight}`);
    body.style.setProperty('--ratio', lens.videoWidth / lens.videoHeight);
    button.textContent = 'Stop the camera';
    say(MINUTE);
    for (let i = 0; i < BEATS; i++) beat(stream);
  };
  button.addEventListener('click', () => (stream ? stop('Stopped.') : start()));
  seeing.on((what) => {
    if (what === 'state' && away()) stop(UNSEEN);
    else if (what === 'state' && stream && below !== lies()) stop(PHOTO);
    else if (what === 'state' && behind) photo();
  });
  part('live-sheet').addEventListener('click', (event) => { // a tile of the moving mosaic
    if (!grid) return;
    const edge = event.target.getBoundingClientRect();
    const column = Math.floor((event.clientX - edge.left) / edge.width * grid.columns), row = Math.floor((event.clientY - edge.top) / edge.height * grid.rows);
    const channel = row * grid.columns + column;
    if (channel >= grid.count) return;
    part('heat').value = 'channel';
    choose(channel);
  });
}
