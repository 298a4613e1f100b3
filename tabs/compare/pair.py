"""Two networks, one photo: their maps on one scale, what changed, and whom the deletion curve
favours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from explainers import METHODS, notes, render
from explainers.render import plots
from explainers.scores.pair import Standing, Support, standing, support
from explainers.scores.verdict import signed

from ..parts import html
from ..parts.tab import Settings, Show
from ..subject import named
from .progress import Progress
from .sides import Side

CURVE = (
    "Pixels leave the photo, the strongest of the network’s own map first, and its probability of "
    "the class is followed. The sooner it falls, the more the map marks what the network used."
)
NOTHING = {"pair": "", "pair-legend": "", "support": ""}
# The room of three maps with their captions, so that they push nothing away when they come.
_ROOM = "<figure><span></span><figcaption>&nbsp;<br>&nbsp;</figcaption></figure>"
FRAME = f'<div class="pair-maps pair-frame">{3 * _ROOM}</div>'


def there(sides: Sequence[Side]) -> bool:
    """Is one question put to two networks?"""
    return len(sides) > 1 and sides[1].pairs


def places(sides: Sequence[Side], settings: Settings) -> dict[str, str]:
    """The maps, what changed, and the curves' word, as far as they are known."""
    if not there(sides):
        return NOTHING
    stands = [standing(side.found.question) for side in sides]
    shown = {"pair": f'<p class="pair-say">{_change(sides, stands)}</p>', "pair-legend": ""}
    method = settings["pair"]
    found = [side.found.maps.get(method) for side in sides]
    if None in found or any(each.done < 1 for each in found):
        shown["pair"] += _lacking(sides, method)
        return {**shown, "support": ""}
    both = render.pair(sides[0].photo, *found)
    shown["pair"] += _figures(sides, stands, both, settings)
    shown["pair-legend"] = _legend(both, settings["colours"])
    return {**shown, "support": _support(sides, stands, settings)}


def measured(
    sides: Sequence[Side], settings: Settings, progress: Progress
) -> Iterator[Show | None]:
    """The pair's own map and its curves, before those of all others."""
    method = settings["pair"]
    title = METHODS[method].title
    for number, side in enumerate(sides):
        for _ in side.found.draw(among=[method]):
            known = side.found.maps.get(method)
            progress.drawn(number, method, known.done if known else 1.0)
            words = progress.words(f"{title} in {side.network.title}")
            yield Show(done=progress.done, words=words)
    yield Show(places(sides, settings), done=progress.done, words=progress.words(title))
    if not settings["measure"]:
        return
    for side in sides:
        for work in (side.found.measure([method]), side.found.repeat([method])):
            for _ in work:
                progress.step()
                words = progress.words(f"Deletion curve, {side.network.title}")
                yield Show(done=progress.done, words=words)
    told = {"support": places(sides, settings)["support"]}
    yield Show(told, done=progress.done, words=progress.words(title))


def _lacking(sides: Sequence[Side], method: str) -> str:
    reasons = [side.found.absent[method] for side in sides if method in side.found.absent]
    if reasons:
        return f'<p class="note">{escape(reasons[0])}</p>'
    doing = f"{escape(METHODS[method].title)} is being drawn for both."
    return FRAME.replace("&nbsp;", doing, 1)


def _change(sides: Sequence[Side], stands: Sequence[Standing]) -> str:
    """How the score changes from one network to the other."""
    before, after = stands
    asked, surer = sides[0].found.question, sides[int(after.chance > before.chance)]
    name = named(asked.network, asked.targets[0], asked.against)
    was, now = (html.percent(each.chance) for each in stands)
    head = f"{surer.network.title} is surer of" if was != now else "Both are equally sure of"
    words = (
        f"<b>{escape(head)} {escape(name)}</b>: {was} → {now}, {html.logit()} "
        f"{before.logit:.1f} → {after.logit:.1f}."
    )
    if sides[0].network.head != sides[1].network.head:
        words += " One shares 100 % among its classes, the other gives each its own probability."
    return words


def _figures(
    sides: Sequence[Side], stands: Sequence[Standing], both: render.Pair, settings: Settings
) -> str:
    first, second = (side.network.title for side in sides)
    more, less = (notes.place(*each) for each in both.moved)
    words = [f"{html.percent(each.chance)}, {_guess(each.rank)}" for each in stands]
    alts = [f"{side.network.title}: {side.found.words(settings['pair'])}" for side in sides]
    words.append(f"orange where {second} finds more, blue where {first} does")
    alts.append(f"What changed: most gained at the {more}, most lost at the {less}.")
    drawn = both.drawn(settings["colours"])
    figures = "".join(
        f'<figure><img alt="{escape(alt)}" src="{html.data_url(render.jpeg(each, 85), "jpeg")}">'
        f"<figcaption><b>{escape(title)}</b> {escape(word)}</figcaption></figure>"
        for each, title, word, alt in zip(
            drawn, (first, second, "What changed"), words, alts, strict=True
        )
    )
    height, width = both.picture.shape[:2]
    return f'<div class="pair-maps" style="--shape:{width}/{height}">{figures}</div>'


def _guess(rank: int) -> str:
    return "its first guess" if rank == 1 else f"guess number {rank}"


def _legend(both: render.Pair, colourmap: str) -> str:
    """One scale for both maps, and the same span for their difference."""
    top = f"{both.top:.3g}"
    maps = html.legend(
        colourmap, both.both, (f"−{top}" if both.both else "0", f"{top} in both maps")
    )
    return f"{maps}{html.legend(colourmap, True, (f'−{top}', f'+{top} of change'))}"


def _support(sides: Sequence[Side], stands: Sequence[Standing], settings: Settings) -> str:
    """Which of the two the deletion curve favours."""
    method, titles = settings["pair"], [escape(side.network.title) for side in sides]
    curve = html.term("deletion curve", CURVE)
    unseen = [i for i, each in enumerate(stands) if not each.seen]
    if unseen:
        which = " and ".join(titles[i] for i in unseen)
        return f"<p>{which} does not see this class here, so no {curve} can fall from there.</p>"
    found = support(sides[0].found, sides[1].found, method)
    if found is None:
        doing = "is still being measured" if settings["measure"] else "is not measured"
        return f"<p>Whom the {curve} favours {doing}.</p>"
    pairs = [(side.found.scores[method], side.found.floor_of(method)) for side in sides]
    label = f"Deletion curves of {sides[0].network.title} and {sides[1].network.title}"
    return f"{plots.losses(pairs, label)}<p>{_favours(found, titles, curve)}</p>"


def _favours(found: Support, titles: Sequence[str], curve: str) -> str:
    leads = " and ".join(
        f"{signed(lead)} ({title})" for lead, title in zip(found.leads, titles, strict=True)
    )
    if len(found.weak) == len(titles):
        head = f"The {curve} favours neither: no map does better than a random order of pixels"
    elif found.best is None:
        head = f"The {curve} favours neither: a tie"
    else:
        best = titles[found.best]
        head = f"The {curve} favours <b>{best}</b>: its map finds more of what it used"
    return (
        f"{head}. Following the map takes this share of the class’s probability beyond what a "
        f"random order takes: {leads}; up to {found.noise:.2f} is noise."
    )
