"""What can be set of a drawing, and what that asks of the explainer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from explainers import ExplainError, Network, Photo, filters
from explainers.impressions import PRESETS
from explainers.impressions.goals import Goal, drawable, fused, of_class, of_unit
from explainers.impressions.images import CANVASES
from explainers.impressions.knobs import LIMITS, Knobs

from .. import subject
from ..parts.fields import Choice, Choices, Number, Text
from ..parts.tab import Settings
from . import atlas

SUGGESTED = ("goldfish", "flamingo", "lion", "monarch", "school bus", "teapot", "pizza", "volcano")
DRIVEN = {"plain": (False,), "driven": (True,), "both": (False, True)}
CANVAS = {"fourier": "Fourier waves", "pixels": "Pixels", "maco": "Fourier phases only (MACO)"}
SETTABLE = [name for name in LIMITS if name not in ("seed", "far")]
HELP = {
    "steps": "After each step the picture is a little more like it.",
    "size": "Of the finished picture; 0 is what the network looks at.",
    "start": "The picture starts small, which is quicker, and grows half-way.",
    "rate": "How far one step goes.",
    "tv": "Total variation is how much neighbouring pixels differ: more weight, smoother pictures.",
    "grey": "Without it, light and dark run away.",
    "jitter": "The picture is moved by so many pixels between steps, so that no pixel matters.",
    "rotation": "It is turned by so much between steps.",
    "scale": "It is made larger or smaller by up to this share between steps.",
    "colour": "Brightness and contrast of each colour change by so much between steps.",
    "noise": "Random grain, added before every step.",
    "crops": "So many differently shaken copies are looked at in each step.",
    "statistics": "Pulls each layer to the mean and spread that its BatchNorm met in training.",
    "every": "Of the BatchNorm layers, one in so many counts in a step, which saves time.",
}


@dataclass(frozen=True, kw_only=True)
class Knob(Number):
    """A number that the preset sets until somebody chooses; its value is None till then."""

    def control(self, value: Any, network: Network) -> str:
        shown = getattr(PRESETS["quick"], self.key) if value is None else value
        html = super().control(shown, network)
        first = f'data-first="{getattr(PRESETS["quick"], self.key):g}"'
        return html.replace('data-first=""', f"{first} data-knob")


def _layers(network: Network) -> Choices:
    """The network's stages, and each convolution by itself."""
    known = drawable(network)
    titles = {name: layer.title for name, layer in (network.maps | network.flat).items()}
    convs = filters.convolutions(network)
    return [(titles.get(name) or f"Filters of {convs[name].title}", name) for name in known]


WHAT = Choice(
    key="what",
    label="Draw",
    choices=(("a class", "class"), ("two classes fused", "fused"), ("a unit inside", "unit")),
    default="class",
    here=True,
)
FRONT = (
    WHAT,
    Text(key="class", label="Classes", here=True),
    Number(key="mix", label="Share of the first (%)", default=50, low=0, high=100, step=5,
           slides=True, here=True),
    Choice(key="layer", label="Layer", choices=_layers, default=lambda network: network.last,
           here=True),
    Number(key="channel", label="Unit", default=0, low=0, high=99_999, here=True),
    Choice(key="part", label="Which part",
           choices=(("all places of the unit", "channel"), ("its neuron in the middle", "neuron")),
           default="channel", here=True),
    Choice(key="from", label="Start from", choices=(("noise", ""), ("my photo", "photo")),
           default="", here=True),
    Number(key="far", label="How far (%)", default=30, low=5, high=100, step=5, slides=True,
           here=True),
    Choice(key="atlas", label="Layer", choices=atlas.layers, default=atlas.first, here=True),
    Text(key="needed", label="Units that this class needs", here=True),
    Choice(key="go", label="Begin by itself", choices=(("no", ""), ("yes", "1")), default="",
           here=True),
)  # fmt: skip
FIELDS = (
    Choice(key="preset", label="Care",
           choices=(("Quick", "quick"), ("Good", "good"), ("Best", "best")),
           default="quick", here=True),
    Choice(key="how", label="How",
           choices=(("Plain", "plain"), ("Saliency-driven", "driven"),
                    ("Both, side by side", "both")),
           default="plain", here=True,
           help="Saliency-driven: once an object has begun to show, only that part of the picture "
           "goes on growing, on plain grey (after Addepalli et al. 2020)."),
    Number(key="seed", label="Seed", default=0, low=0, high=LIMITS["seed"][1], here=True,
           help="Another seed starts from other noise, and ends in another picture."),
    Choice(key="canvas", label="Picture made of", default="fourier", here=True,
           choices=[(title, key) for key, title in CANVAS.items()],
           help="What is moved by the steps: the pixels themselves, or the waves that they are a "
           "sum of, which favours large shapes over fine noise."),
    *(
        Knob(key=name, label=words[0].upper() + words[1:], low=low, high=high,
             step=1 if whole else 0.01, help=HELP[name], here=True)
        for name, (low, high, whole, words) in LIMITS.items() if name in SETTABLE
    ),
)  # fmt: skip


def presets() -> str:
    """The knobs of each preset, for the script."""
    named = {key: {name: getattr(each, name) for name in SETTABLE} for key, each in PRESETS.items()}
    return json.dumps(named)


@dataclass(frozen=True)
class Wanted:
    """A drawing that is asked for. driven: of each goal, saliency-driven or not, or both. photo:
    what it starts from; None for noise."""

    goals: tuple[Goal, ...]
    knobs: Knobs
    driven: tuple[bool, ...]
    photo: Photo | None = None

    @property
    def panels(self) -> list[Goal]:
        """What is drawn side by side."""
        return [goal for goal in self.goals for _ in self.driven]


def wanted(network: Network, settings: Settings, photo: Photo | None = None) -> Wanted:
    """What these settings ask for, from noise or on a photo; raises ExplainError."""
    start = PRESETS[settings["preset"]]
    given = {name: settings[name] for name in SETTABLE}
    values = {n: getattr(start, n) if each is None else each for n, each in given.items()}
    knobs = Knobs(canvas=settings["canvas"], seed=settings["seed"], **values)
    if photo is not None:
        knobs = replace(knobs.on_photo(), far=settings["far"] / 100)
    return Wanted(_goals(network, settings), knobs, DRIVEN[settings["how"]], photo)


def _goals(network: Network, settings: Settings) -> tuple[Goal, ...]:
    if settings["what"] == "unit":
        return (of_unit(network, settings["layer"], settings["channel"], settings["part"]),)
    targets = targets_of(network, settings["class"])
    if settings["what"] == "fused":
        if len(targets) != 2:
            raise ExplainError("Two classes are fused: choose exactly two.")
        return (fused(network, targets, settings["mix"] / 100),)
    if not targets:
        raise ExplainError("Choose a class first: no photo is needed.")
    return tuple(of_class(network, target) for target in targets)


def targets_of(network: Network, words: str) -> tuple[int, ...]:
    """Classes as the address names them: by name or number, with commas between."""
    return subject.classes(network, [each.strip() for each in words.split(",") if each.strip()])


def written(network: Network, targets: Sequence[int]) -> str:
    """The same, the other way round; by number where a name would not do."""
    names = [network.labels[target] for target in targets]
    plain = [
        "," not in name and not name.isdigit() and network.labels.count(name) == 1 for name in names
    ]
    every = zip(targets, names, plain, strict=True)
    return ",".join(name if fits else str(target) for target, name, fits in every)


def suggested(network: Network) -> list[int]:
    """Classes to begin with: well-known ones, or some from all over the list."""
    known = {label: index for index, label in enumerate(network.labels)}
    found = [known[name] for name in SUGGESTED if name in known]
    count = len(network.labels)
    return found if len(found) > 2 else list(range(0, count, max(1, count // 8)))[:8]


assert set(CANVAS) == set(CANVASES)
