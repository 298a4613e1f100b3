"""Before and after: bars of the likeliest classes' probabilities with something muted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from explainers import Network
from explainers.muting import Change

from . import html


def bars(network: Network, change: Change, targets: Sequence[int] = ()) -> str:
    """A list of classes, each with a bar before and one after; a changed decision is said."""
    top = change.top()
    for target in targets:
        if target not in [each for each, *_ in top]:
            top.append((target, float(change.before[target]), float(change.after[target])))
    most = max(max(before, after) for _, before, after in top)
    items = "".join(_item(network, *each, most, each[0] in targets) for each in top)
    return f'<ul class="change" aria-label="Before and after muting">{items}</ul>'


def verdict(network: Network, change: Change) -> str:
    """What the network says now, in a sentence."""
    first, now = int(change.before.argmax()), int(change.after.argmax())
    was, chance = network.labels[first], html.percent(float(change.after[now]))
    if now == first:
        return f"Still “{escape(was)}”, now {chance}."
    return f"No longer “{escape(was)}”: now “{escape(network.labels[now])}”, {chance}."


def _item(
    network: Network, index: int, before: float, after: float, most: float, chosen: bool
) -> str:
    name = escape(network.labels[index])
    kind = "up" if after > before else "down"
    return (
        f'<li class="{"change-on" if chosen else ""}"><span class="change-name">{name}</span>'
        f'<span class="change-value">{html.percent(before)} <span aria-label="to">→</span> '
        f"<b>{html.percent(after)}</b></span>"
        f'<span class="change-bars {kind}" aria-hidden="true">'
        f'<i class="was" style="width:{before / max(most, 1e-9):.2%}"></i>'
        f'<i class="now" style="width:{after / max(most, 1e-9):.2%}"></i></span></li>'
    )
