"""The grid of maps as it fills up: a row for each class, a cell for each method."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from explainers import METHODS, ExplainError, Explanation, Method, Photo, Question, render
from explainers import photo as photos
from explainers.methods.cam import identity_gap

from . import html

CELL = 448  # pixels on the longer side of a picture in the grid
STRENGTH = 0.75
TOGETHER = ("gradcam", "cam", "gradcam++", "layercam", "hirescam", "xgradcam")  # in this order


@dataclass(frozen=True)
class Look:
    """How maps are shown; every value checked, since requests can hold anything."""

    colourmap: str = render.DEFAULT
    scale: str = "each"
    pixels: str = "colour"
    opacity: float = STRENGTH

    def __post_init__(self) -> None:
        render.colours(self.colourmap)
        if self.scale not in ("each", "shared") or self.pixels not in ("colour", "strength"):
            raise ExplainError("There is no such way to show a map: choose one of those offered.")
        if not 0 <= self.opacity <= 1:
            raise ExplainError("The opacity goes from 0 to 1: choose a value in between.")

    @property
    def colours(self) -> dict[str, str]:
        return {"colourmap": self.colourmap, "scale": self.scale, "pixels": self.pixels}


@dataclass
class Sheet:
    """The grid as it fills up: for each method its explanation, or why there is none."""

    photo: Photo
    question: Question
    look: Look
    methods: list[Method]
    found: dict[str, Explanation] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def html(self) -> str:
        small = render.shrink(self.photo, CELL)
        height, width = small.shape[:2]
        rows = "".join(self._row(row, (width, height)) for row in range(len(self._targets)))
        url = html.data_url(photos.to_jpeg(small, 85), "jpeg")
        return (
            f'<div class="maps" style="--photo:url({url});--shape:{width}/{height}">'
            f"{self._together((width, height))}{rows}{self._foot()}</div>"
        )

    def _together(self, size: tuple[int, int]) -> str:
        """All classes in one picture, for a network that sees several at once."""
        found = next((self.found[key] for key in TOGETHER if key in self.found), None)
        several = len(self._targets) > 1 and self.question.against is None
        if self.question.network.head == "softmax" or not several or found is None:
            return ""
        names = [self._name(row) for row in range(len(self._targets))]
        keys = "".join(
            f'<li><i style="background:{colour}"></i>{escape(name)}</li>'
            for name, colour in zip(names, render.label_colours(), strict=False)
        )
        over = html.data_url(render.png(render.classes(found, size)), "png")
        title = METHODS[found.method].title
        return (
            f'<section class="maps-row together" aria-label="All classes together"><h3>All '
            f'together <span>{title}</span></h3><div class="cells"><figure class="cell">'
            f'<div class="stack"><img class="heat" src="{over}" alt="{title} for '
            f'{escape(", ".join(names))}, each in its own colour"></div></figure>'
            f'<ul class="class-key">{keys}</ul></div></section>'
        )

    @property
    def _targets(self) -> tuple[int, ...]:
        return self.question.targets

    def _name(self, row: int) -> str:
        labels, against = self.question.network.labels, self.question.against
        name = labels[self._targets[row]]
        return name if against is None else f"{name}, and not {labels[against]}"

    def _row(self, row: int, size: tuple[int, int]) -> str:
        network, view = self.question.network, self.question.view
        logits = network.recorded(view, self.question.layer).logits.detach()[0]
        chance = float(network.probabilities(logits)[self._targets[row]])
        name = escape(self._name(row))
        note = html.notice(html.unseen(network, self._targets[row], chance))
        cells = "".join(self._cell(method, row, size) for method in self.methods)
        return (
            f'<section class="maps-row" aria-label="{name}"><h3>{name} '
            f"<span>{html.percent(chance)}</span></h3>{note}"
            f'<div class="cells"><figure class="cell"><div class="stack plain" role="img" '
            f'aria-label="The photo without a map"></div><figcaption><b>Photo</b></figcaption>'
            f"</figure>{cells}</div></section>"
        )

    def _cell(self, method: Method, row: int, size: tuple[int, int]) -> str:
        title = escape(method.title)
        if method.key in self.absent:
            body = f'<div class="stack absent"><p>{escape(self.absent[method.key])}</p></div>'
            took = "not defined here"
        elif method.key not in self.found:
            body, took = '<div class="stack waiting"></div>', "…"
        else:
            body, took = self._picture(method, row, size)
        return (
            f'<figure class="cell">{body}<figcaption><b>{title}</b> '
            f'<small title="Time beyond the shared forward pass">{took}</small>'
            f"<p>{escape(method.caption)}</p></figcaption></figure>"
        )

    def _picture(self, method: Method, row: int, size: tuple[int, int]) -> tuple[str, str]:
        found = self.found[method.key]
        over = render.translucent(found, row, size, **self.look.colours)
        where = html.place(*found.peak(row))
        alt = escape(f"{method.title} for {self._name(row)}: strongest at the {where}")
        bar = ""
        if found.done < 1:
            bar = html.progress(found.done, html.left(found.seconds, found.done))
        kind = "heat opaque" if found.per_pixel and self.look.pixels == "colour" else "heat"
        body = (
            f'<button type="button" class="stack" data-method="{method.key}" data-row="{row}" '
            f'title="Look at this map closely below"><img class="{kind}" alt="{alt}" '
            f'src="{html.data_url(render.png(over), "png")}">{bar}</button>'
        )
        return body, f"{found.seconds * 1000:.0f} ms" if found.seconds < 1 else (
            f"{found.seconds:.1f} s"
        )

    def _foot(self) -> str:
        both = self.question.against is not None
        notes = []
        cam, grad = self.found.get("cam"), self.found.get("gradcam")
        gap = identity_gap(cam, grad) if cam and grad else None
        if gap is not None:
            notes.append(
                "CAM and Grad-CAM are the same map here: after this layer the network only pools "
                f"and weighs once, and then the two differ by a factor alone (measured: {gap:.0e} "
                "of the map’s range)."
            )
        if any(each.per_pixel for each in self.found.values()):
            how = "their sign and colour on grey" if self.look.pixels == "colour" else "strength"
            notes.append(f"Gradients and guided maps show single pixels: {how}.")
        scale = (
            "one scale for all rows" if self.look.scale == "shared" else "each map by its strongest"
        )
        words = "".join(f"<p>{escape(note)}</p>" for note in notes)
        return (
            f'<div class="maps-foot">{html.legend(self.look.colourmap, both)}'
            f"<span>{scale}</span>{words}</div>"
        )
