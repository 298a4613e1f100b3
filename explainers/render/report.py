"""A comparison as one ZIP file: a page that needs nothing else, pictures, raw maps, scores.

Nothing of the photo's file is in it: no metadata, no name, no path.
"""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np
import timm
import torch

from ..explanation import to_npz
from ..photo import Photo, to_jpeg
from ..registry import METHODS
from ..scores.comparison import SORTS, Comparison
from ..scores.verdict import lines, verdict
from . import plots
from .colour import DEFAULT
from .overlays import overlay
from .picture import png, shrink

SIDE = 640  # pixels on the longer side of a picture
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal reports are equal files

MEANING = {
    "deletion": "Deletion (small is good): the area under the class’s probability while pixels "
    "leave the photo, those the map ranks highest first.",
    "insertion": "Insertion (large is good): the same while pixels enter a blurred or "
    "mean-coloured photo.",
    "floor": "Dotted: a random order of the same grain (cells for maps of cells, pixels for maps "
    "of pixels); a map no better than that says nothing.",
    "gain": "Gain: insertion minus deletion, minus the same of the random order: the one number "
    "here by which maps of cells and maps of pixels can be compared. Near zero, the order says "
    "nothing.",
    "pointing": "Pointing: is the strongest place inside the box? Energy inside: which share of "
    "the map’s strength is? Both ask whether people find the same place, not whether the network "
    "used it.",
    "agreement": "Agreement: Spearman’s rank correlation of two maps, on coarse cells. Maps can "
    "agree and be wrong together.",
    "limits": "No score is the truth: photos with holes are unlike any the network learnt from, "
    "so part of what a curve shows is surprise, and the order of two methods can change with the "
    "baseline.",
}

UNSURE = "No verdict: that takes every map to be measured twice."
UNMEASURED = "Left out: scores and a verdict. No map was measured, so none is known to be better."

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto;
  padding: 0 1rem; }
.cells { display: grid; gap: 20px; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
figure { margin: 0; } img, svg { width: 100%; height: auto; display: block; border-radius: 6px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; text-align: right; } th:first-child { text-align: left; }
tr + tr > * { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
small, .dim { opacity: .75; } .doubt { font-weight: 600; }
.verdict { padding-left: 12px; border-left: 3px solid; list-style: none; }
.verdict li:first-child { font-weight: 600; }
pre { overflow: auto; font-size: .85rem; }
@media (prefers-color-scheme: dark) { svg { filter: brightness(1.6); } }
"""


def versions() -> dict[str, str]:
    """What computed it."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "numpy": np.__version__,
    }


def scores(comparison: Comparison, photo: Photo | None = None) -> dict[str, Any]:
    """All numbers with the settings they were computed with, JSON-ready; and how the photo was
    read, where that is worth a word."""
    names, matrix = comparison.agreement()
    found = verdict(comparison)
    return {
        "settings": comparison.settings(),
        "versions": versions(),
        "photo": list(photo.notes) if photo else [],
        "methods": {
            name: {
                "title": METHODS[name].title,
                "layer": comparison.maps[name].layer,
                "options": dict(comparison.maps[name].options),
                "facts": dict(comparison.maps[name].facts),
                "notes": [asdict(note) for note in comparison.notes(name)],
                **comparison.figures(name),
                "curves": _curves(comparison, name),
            }
            for name in names
        },
        "absent": dict(comparison.absent),
        "verdict": None
        if found is None
        else {"lines": lines(found, comparison.baseline), **asdict(found)},
        "agreement": {"methods": names, "rank_correlation": matrix},
    }


def _curves(comparison: Comparison, name: str) -> dict[str, Any] | None:
    found = comparison.scores.get(name)
    return found and {
        "fraction": list(found.deletion.fractions),
        "deletion": list(found.deletion.chances),
        "insertion": list(found.insertion.chances),
    }


def build(photo: Photo, comparison: Comparison, *, colourmap: str = DEFAULT) -> bytes:
    """The ZIP: report.html, scores.json, maps.npz, photo.png and maps/*.png."""
    picture = shrink(photo, SIDE)
    shown = {
        each.method: overlay(photo, each, comparison.row, longest=SIDE, colourmap=colourmap)
        for each in comparison.finished()
    }
    numbers = scores(comparison, photo)
    files: dict[str, bytes] = {
        "report.html": _page(picture, shown, comparison, numbers).encode(),
        "scores.json": json.dumps(numbers, indent=1, default=float).encode(),
        "maps.npz": to_npz(comparison.finished()),
        "photo.png": png(picture),
        **{f"maps/{file_name(name)}.png": png(each) for name, each in shown.items()},
    }
    return pack(files)


def file_name(method: str) -> str:
    """A method's key as a file name that every system takes."""
    return re.sub(r"[^a-z0-9_-]", "_", method.lower().replace("+", "plus"))


def pack(files: dict[str, bytes]) -> bytes:
    """A ZIP of these files; equal files make equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _page(picture, shown, comparison: Comparison, numbers: dict[str, Any]) -> str:
    settings = numbers["settings"]
    name, network = settings["target"]["name"], settings["network"]["title"]
    against = settings["against"]
    what = name if against is None else f"{name}, and not {against['name']}"
    asked = comparison.question
    logits = asked.network.answer(asked.view)
    chance = float(asked.network.probabilities(logits)[comparison.target])
    title = escape(f"Why {network} sees “{what}”")
    cells = "".join(_cell(n, _img(shown[n], comparison.words(n)), comparison) for n in shown)
    absent = "".join(
        f"<p class=dim><b>{escape(METHODS[n].title)}</b>: {escape(why)}</p>"
        for n, why in comparison.absent.items()
    )
    of_pass = {note.sentence: None for n in shown for note in comparison.notes(n) if note.of_pass}
    said = (*numbers["photo"], *of_pass)
    doubts = "".join(f"<p class=doubt>{escape(sentence)}</p>" for sentence in said)
    missing = UNSURE if comparison.scores else UNMEASURED
    told = numbers["verdict"]["lines"] if numbers["verdict"] else [missing]
    told = "".join(f"<li>{escape(line)}</li>" for line in told)
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in MEANING.values())
    about = {key: numbers[key] for key in ("settings", "versions")}
    about["options"] = {key: each["options"] for key, each in numbers["methods"].items()}
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Probability {chance:.1%}. Made with Seeing Why.</p>{doubts}"
        f"<ol class=verdict>{told}</ol>"
        f'<div class="cells"><figure>{_img(picture, "The photo")}<figcaption><b>Photo</b>'
        f"</figcaption></figure>{cells}</div>{absent}<h2>Scores</h2>{_table(comparison)}"
        f"<h2>Agreement</h2>{_matrix(numbers['agreement'])}<h2>What they mean</h2>{words}"
        f"<h2>Settings</h2><pre>{escape(json.dumps(about, indent=1, default=float))}</pre></html>"
    )


def _img(pixels: np.ndarray, alt: str) -> str:
    data = base64.b64encode(to_jpeg(pixels, 88)).decode()
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{data}">'


def _cell(name: str, image: str, comparison: Comparison) -> str:
    found = comparison.scores.get(name)
    method = METHODS[name]
    curve = found and plots.curves(found, comparison.floor_of(name), f"Curves of {method.title}")
    doubts = [note.sentence for note in comparison.notes(name) if not note.of_pass]
    doubts = "".join(f"<br><span class=doubt>{escape(sentence)}</span>" for sentence in doubts)
    return (
        f"<figure>{image}<figcaption><b>{escape(method.title)}</b> "
        f"<small>{escape(method.paper)}</small><br><span class=dim>{escape(method.caption)}</span>"
        f"{doubts}{curve or ''}</figcaption></figure>"
    )


_FORMATS: dict[str, Callable[[Any], str]] = {
    "gain": lambda gain: f"{gain:+z.3f}".replace("-", "−"),
    "pointing": lambda hit: "inside" if hit else "outside",
    "energy_inside": lambda share: f"{share:.0%}",
    "seconds": lambda s: f"{s:.2f} s",
}


def shown_as(figure: str, value: Any) -> str:
    """A figure as people read it; a dash where there is none."""
    return "–" if value is None else _FORMATS.get(figure, lambda v: f"{v:.3f}")(value)


def _table(comparison: Comparison) -> str:
    columns = [*SORTS]
    head = "".join(f"<th>{SORTS[c][0]}</th>" for c in columns)
    rows = ""
    for name in comparison.sorted("gain"):
        if name in comparison.maps:
            figures = comparison.figures(name)
            cells = "".join(f"<td>{shown_as(c, figures[c])}</td>" for c in columns)
            rows += f"<tr><th>{escape(METHODS[name].title)}</th>{cells}</tr>"
    return f'<div class="wide"><table><tr><th>Method</th>{head}</tr>{rows}</table></div>'


def _matrix(numbers: dict[str, Any]) -> str:
    titles = [escape(METHODS[name].title) for name in numbers["methods"]]
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = "".join(
        f"<tr><th>{title}</th>{''.join(f'<td>{v:.2f}</td>' for v in row)}</tr>"
        for title, row in zip(titles, numbers["rank_correlation"], strict=True)
    )
    return f'<div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>'
