"""Fast gestures to the server: one message at a time, and always the newest next.

Gradio's `trigger_mode="always_last"` repeats the first message that was held back, not the last;
so what a moving pointer says is held back here, in the browser.
"""

from __future__ import annotations

import json
from typing import Any

from . import html

# courier('look') gives a function that sends; the answer to the last is told by `answered`.
JS = """
const courier = (name) => {
  let since = 0, next = null;
  const go = () => {
    since = performance.now();
    element.dataset.courier = 'busy';
    trigger(name, next);
    next = null;
  };
  window.addEventListener('answered-' + name, () => {
    since = 0;
    if (next) go(); else element.dataset.courier = 'idle';
  });
  return (data) => { next = data; if (!since || performance.now() - since > 8000) go(); };
};
"""


def answered(event: Any, name: str) -> None:
    """After the event that a courier of that name triggers, let it send the next."""
    js = f"() => {{ window.dispatchEvent(new Event('answered-{name}')); return []; }}"
    event.then(None, None, None, js=js)


def waiting(button: Any, status: Any, cancel: Any) -> None:
    """A click on a slow event's button: says at once that its turn is awaited, and lets it be
    cancelled there, too. Gradio's own display of the queue would say “Error” after a Cancel."""
    now = [html.progress(0, "Waiting for its turn …"), {"__type__": "update", "interactive": True}]
    js = f"() => {json.dumps(now)}"
    button.click(None, None, [status, cancel], js=js, show_progress="hidden")
