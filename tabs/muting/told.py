"""What the network says before and after something is covered, as the browser's bars want it."""

from __future__ import annotations

from typing import Any

from explainers.muting import Change

from ..subject import Asked

LIKELY = 5  # classes that have a bar by themselves


def classes(asked: Asked, before: Any) -> list[int]:
    """Whose bars are shown: the likeliest before, and those asked about."""
    about = [*asked.targets, *([] if asked.against is None else [asked.against])]
    return list(dict.fromkeys([*asked.network.ranked(before, LIKELY), *about]))


def unmuted(asked: Asked, before: Any) -> dict[str, Any]:
    """Bars, and what a change is judged by, from the probabilities (classes,) of the photo.

    target: the first class asked for; its `bound` is the probability from which on a network that
    sees several classes sees it, and None for the others, whose answer is the likeliest class.
    """
    network, target, winner = asked.network, asked.targets[0], int(before.argmax())
    bound = network.thresholds[target] if network.head == "sigmoid" else None
    return {
        "rows": [
            {
                "index": each,
                "name": network.labels[each],
                "before": float(before[each]),
                "chosen": each in asked.targets,
            }
            for each in classes(asked, before)
        ],
        "winner": {"index": winner, "name": network.labels[winner]},
        "target": {
            "name": network.labels[target],
            "before": float(before[target]),
            "bound": bound,
        },
    }


def muted(asked: Asked, change: Change) -> dict[str, Any]:
    """The same bars' probabilities now, the first target's, and the class that wins now."""
    winner = int(change.after.argmax())
    return {
        "after": [float(change.after[each]) for each in classes(asked, change.before)],
        "target": float(change.after[asked.targets[0]]),
        "winner": {
            "index": winner,
            "name": asked.network.labels[winner],
            "before": float(change.before[winner]),
            "after": float(change.after[winner]),
        },
    }
