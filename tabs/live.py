"""The camera: a layer's channels, the pinned ones and the likeliest classes, frame by frame.

The browser sends a frame only when the answer to an earlier one is there, so nothing ever queues;
frames that come meanwhile are never taken. Each stream has a ticket that is good for a minute.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from explainers import ExplainError, render
from explainers.recent import Recent
from explainers.units.glance import Glance, decode, glance
from explainers.units.strongest import Strongest
from explainers.zoo import Zoo

from . import html, unit
from .guard import guarded, sentence
from .subject import Subject

MINUTE = 60  # seconds that a stream lasts
STREAMS = 64  # tickets in memory
PATIENCE = 0.25  # seconds a frame waits for other visitors' frames before it is dropped
PIN = 240  # pixels on the longer side of a pinned channel

JS = """
const part = (name) => element.querySelector('.live-' + name);
const settings = () =>
  JSON.parse(document.querySelector('#live-settings [data-live]').dataset.live);
const canvas = document.createElement('canvas');
let stream = null, ticket = '', times = [], waits = [], late = 0, last = 0, sent = 0;
const say = (text) => { part('state').textContent = text; };
const stop = (text) => {
  if (!stream) return;
  stream.getTracks().forEach((track) => track.stop());
  stream = null;
  part('video').srcObject = null;
  element.querySelector('.live').classList.remove('on');
  part('start').disabled = false;
  part('stop').disabled = true;
  say(text);
};
const show = async (answer, began, number) => {
  if (number < last) { late += 1; return; }
  last = number;
  const shown = [];
  const put = (image, source) => { image.src = source; shown.push(image.decode().catch(() => 0)); };
  part('mosaic').hidden = !answer.mosaic;
  if (answer.mosaic) put(part('mosaic'), answer.mosaic);
  const pins = part('pins');
  while (pins.children.length > answer.pins.length) pins.lastChild.remove();
  answer.pins.forEach((pin, index) => {
    if (!pins.children[index]) {
      const figure = document.createElement('figure');
      figure.append(document.createElement('img'), document.createElement('figcaption'));
      pins.append(figure);
    }
    const [image, caption] = pins.children[index].children;
    put(image, pin.image);
    image.alt = caption.textContent = pin.name;
  });
  part('classes').innerHTML = answer.classes;
  await Promise.all(shown);
  const now = performance.now();
  times.push(now);
  waits.push([now - began, answer.network_ms]);
  times = times.filter((time) => now - time < 3000);
  waits = waits.slice(-300);
  const rate = times.length > 1 ? (times.length - 1) * 1000 / (now - times[0]) : 0;
  part('rate').textContent = rate.toFixed(1) + ' frames/s · network '
    + Math.round(answer.network_ms) + ' ms of ' + Math.round(now - began) + ' ms'
    + (late ? ' · ' + late + ' late frames dropped' : '');
  Object.assign(element.dataset, {frames: (+element.dataset.frames || 0) + 1,
    fps: rate.toFixed(2), waits: JSON.stringify(waits.map((pair) => pair.map(Math.round)))});
};
const beat = async (mine) => {
  const video = part('video');
  while (stream === mine) {
    if (!element.isConnected || document.hidden) return stop('Stopped while out of sight.');
    if (!element.offsetParent || !video.videoWidth) {
      await new Promise((next) => setTimeout(next, 50));
      continue;
    }
    const scale = Math.min(1, 320 / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    const began = performance.now(), number = ++sent;
    let answer;
    try {
      answer = await server.frame({...settings(), ticket, image: canvas.toDataURL('image/jpeg', .8),
        width: Math.min(640, Math.max(240, part('sheet').clientWidth))});
    } catch (error) { return stop('The server did not answer: start the camera again.'); }
    if (stream !== mine) return;
    if (answer.over) return stop(answer.over);
    if (answer.late) { late += 1; continue; }
    await show(answer, began, number);
  }
};
const start = async () => {
  if (!navigator.mediaDevices) return say('This browser gives a camera to https pages only.');
  part('start').disabled = true;
  say('Asking for the camera …');
  try {
    const wanted = {width: {ideal: 320}, height: {ideal: 240}, facingMode: 'environment'};
    const given = await navigator.mediaDevices.getUserMedia({video: wanted});
    ({ticket} = await server.ticket({}));
    stream = given;
    part('video').srcObject = given;
    await part('video').play();
  } catch (error) {
    part('start').disabled = false;
    return say('The camera could not be used: allow it for this page, and try again.');
  }
  times = []; waits = []; late = 0;
  element.querySelector('.live').classList.add('on');
  part('stop').disabled = false;
  say('Live; it stops by itself after a minute.');
  beat(stream); beat(stream);
};
element.addEventListener('click', (event) => {
  if (event.target.closest('.live-start')) start();
  if (event.target.closest('.live-stop')) stop('Stopped.');
});
"""
MARKUP = """<div class="live"><div class="live-bar">
<button type="button" class="live-start lg secondary">Start the camera</button>
<button type="button" class="live-stop lg secondary" disabled>Stop</button>
<span class="live-state" role="status">Frames go to the server, are looked at, and kept nowhere.
</span><span class="live-rate"></span></div>
<div class="live-grid"><div><video class="live-video" muted playsinline
aria-label="Your camera"></video><div class="live-classes"></div></div>
<div class="live-sheet"><img class="live-mosaic" hidden
alt="All channels of the chosen layer, live, by index"></div></div>
<div class="live-pins"></div></div>"""


class Live:
    """What the browser may ask for; every value is checked, since requests can hold anything."""

    def __init__(
        self, zoo: Zoo, strongest: Strongest, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.zoo, self.strongest, self.clock = zoo, strongest, clock
        self._tickets: Recent[str, float] = Recent(STREAMS)
        self._turn = threading.Semaphore(1)

    def ticket(self, _data: Any) -> dict[str, str]:
        """Start a stream."""
        ticket = secrets.token_urlsafe(12)
        self._tickets[ticket] = self.clock()
        return {"ticket": ticket}

    def frame(self, data: Any) -> dict[str, Any]:
        """Look at one frame: {"late": true} if others are in the way, {"over": why} at the end."""
        try:
            data = data if isinstance(data, dict) else {}
            started = self._tickets.get(str(data.get("ticket")))
            if started is None or self.clock() - started > MINUTE:
                return {"over": "The minute is over: start the camera again."}
            if not self._turn.acquire(timeout=PATIENCE):
                return {"late": True}
            try:
                return self._look(data)
            finally:
                self._turn.release()
        except Exception as error:
            return {"over": sentence(error)}

    def _look(self, data: dict[str, Any]) -> dict[str, Any]:
        network = self.zoo.get(str(data.get("network")))
        pins = [(str(layer), channel) for layer, channel in list(data.get("pins") or [])[:4]]
        seen = glance(
            network,
            decode(_bytes(data.get("image"))),
            str(data.get("layer")),
            pins,
            width=min(max(int(data.get("width", 480)), 200), 640),
            per=data.get("per", "layer"),
            gain=float(data.get("gain", 1)),
            gamma=float(data.get("gamma", 1)),
        )
        return {
            "mosaic": _sheet(seen),
            "pins": self._pins(network, pins, seen),
            "classes": _classes(network, seen),
            "network_ms": seen.network_seconds * 1000,
        }

    def _pins(self, network: Any, pins: list[Any], seen: Glance) -> list[dict[str, str]]:
        known = self.strongest.ask(network)
        picture = render.shrink(seen.photo, PIN)
        answer = []
        for (layer, channel), values in zip(pins, seen.pins, strict=False):
            top = known[layer].top(channel) if known else float(values.max())
            shown = render.glow(picture, values, seen.frame, top)
            url = html.data_url(render.jpeg(shown, 80), "jpeg")
            answer.append({"name": unit.name(network, layer, channel), "image": url})
        return answer


def _bytes(url: Any) -> bytes:
    head, _, body = str(url).partition(",")
    if head != "data:image/jpeg;base64" or len(body) > 600_000:
        raise ExplainError("The camera’s picture can’t be read: start the camera again.")
    return base64.b64decode(body)


def _sheet(seen: Glance) -> str:
    if seen.mosaic is None:
        return ""
    picture = render.sheet(seen.mosaic.values, seen.mosaic.signed)
    return html.data_url(render.jpeg(picture, 80), "jpeg")


def _classes(network: Any, seen: Glance) -> str:
    rows = [(network.labels[index], chance) for index, chance in seen.classes]
    items = "".join(
        f'<li><span class="bar" style="width:{chance:.1%}"></span><span class="bar-name">'
        f'{escape(label)}</span><span class="bar-value">{html.percent(chance)}</span></li>'
        for label, chance in rows
    )
    return f'<ol class="bars">{items}</ol>'


def _settings(key: str, layer: str, pins: Any, per: str, gain: float, gamma: float) -> str:
    """What the camera asks for, where its script finds it."""
    mine = [[each["layer"], each["channel"]] for each in pins or [] if each["network"] == key]
    chosen = {
        "network": key, "layer": layer, "pins": mine, "per": per, "gain": gain, "gamma": gamma
    }  # fmt: skip
    return f'<span data-live="{escape(json.dumps(chosen))}"></span>'


def build(
    subject: Subject,
    strongest: Strongest,
    layer: gr.Dropdown,
    pins: gr.State,
    per: gr.Radio,
    gain: gr.Slider,
    gamma: gr.Slider,
) -> None:
    """Lay out the camera."""
    camera = Live(subject.zoo, strongest)
    with gr.Accordion("Camera: the channels live", open=False, elem_id="live-part"):
        gr.HTML(
            MARKUP,
            js_on_load=JS,
            elem_id="live",
            server_functions=[_plain(camera.ticket), _plain(camera.frame)],
        )
    first = subject.zoo.get()
    inputs = [subject.network, layer, pins, per, gain, gamma]
    start = _settings(first.key, layer.value, [], "layer", 1, 1)
    settings = gr.HTML(start, elem_id="live-settings", visible="hidden")
    gr.on(
        [each.change for each in inputs],
        guarded(_settings),
        inputs,
        settings,
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )


def _plain(method: Any) -> Any:
    """A function with the method's name: Gradio marks it, and methods can't be marked."""

    def call(data: Any) -> Any:
        return method(data)

    call.__name__ = method.__name__
    return call
