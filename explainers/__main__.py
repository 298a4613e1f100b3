"""Reports for many photos: python -m explainers PHOTOS --methods gradcam guided --out reports

Writes one ZIP for each photo (the page, pictures, raw maps and scores of
`explainers.render.report`) and summary.json, which also has the notes: on how a photo was read, and
on when not to trust a map; they are printed, too. The scores (deletion and insertion) take some
hundred passes of the network for each map; with --no-scores there are maps alone. --network takes
your own: a folder, a file of weights, a Hub id, or code as file.py:make. Run it again after an
interruption: what is there already, made from the same photo with the same settings, is not made
again. A photo that can't be read is named at the end and stops nothing.

Exit code: 0 all done, 1 some photos failed, 2 nothing could be started.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .api import find, question
from .errors import ExplainError, OptionError
from .network import Network
from .photo import read
from .photos import paths_in
from .registry import METHODS
from .render import report
from .scores.comparison import Comparison, applicable, wait
from .scores.faithfulness import BASELINES, DRAWS, STEPS, counts
from .zoo.brought import named

LISTED = 20  # photos whose notes are printed
PASSES = (3, 60, 600)  # of the network, about, that a map takes, by `wait`
LONGEST = 200  # bytes of a photo's name in that of its report: systems allow 255 for all of it
WITHIN = 20.0  # seconds between lines about one photo
UNEXPECTED = "The photo could not be explained: something unexpected went wrong."


@dataclass(frozen=True)
class Job:
    """One photo and where its report goes."""

    photo: Path
    name: str
    out: Path


def main(arguments: Sequence[str] | None = None, program: str = "python -m explainers") -> int:
    """Run the command; returns the exit code. program: what the help calls it."""
    chosen = _parser(program).parse_args(arguments)
    try:
        asked = [find(method).key for method in chosen.methods or ()]
        counts(10**6, chosen.steps)
        network = _network(chosen)
        methods = asked or applicable(network)
        for target in (chosen.target, chosen.against):
            if target is not None:
                network.resolve(target)
        jobs = _jobs(chosen.photos, chosen.out, _settings(chosen, methods, network))
        chosen.out.mkdir(parents=True, exist_ok=True)
    except ExplainError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError:
        print("The folder for the reports can’t be made: choose another one.", file=sys.stderr)
        return 2
    results = _run(jobs, network, methods, chosen)
    _write(chosen.out / "summary.json", json.dumps(results, indent=1).encode())
    failed = [each for each in results if each["state"] == "failed"]
    made = sum(each["state"] == "made" for each in results)
    kept = len(results) - made - len(failed)
    print(f"{made} made, {kept} were there already, {len(failed)} failed.", file=sys.stderr)
    for each in failed:
        print(f"  {_shown(each['photo'])}: {each['message']}", file=sys.stderr)
    _doubts(results)
    return 1 if failed else 0


def _parser(program: str) -> argparse.ArgumentParser:
    head, _, rest = __doc__.partition("\n\n")
    options = argparse.ArgumentParser(program, description=head, epilog=rest)
    options.add_argument("photos", nargs="+", type=Path, help="files or folders")
    options.add_argument("--methods", nargs="+", metavar="METHOD", help=f"of {', '.join(METHODS)}")
    options.add_argument("--out", type=Path, required=True, help="folder for the reports")
    options.add_argument(
        "--network", "--model", default="lite0", help="key of a network, or one of your own"
    )
    options.add_argument("--arch", help="timm’s architecture of a file of weights")
    options.add_argument("--labels", type=Path, help="a class name on each line, or JSON")
    options.add_argument("--target", type=_target, help="class name or index; default: first guess")
    options.add_argument(
        "--against", type=_target, help="a second class: why the target and not it"
    )
    options.add_argument("--layer", help="default: the last convolution")
    options.add_argument("--framing", default="whole", choices=["whole", "crop"])
    options.add_argument("--baseline", default="blur", choices=list(BASELINES))
    options.add_argument("--steps", type=int, default=STEPS, help="points of a curve")
    options.add_argument("--seed", type=int, default=0, help="of the random orders")
    options.add_argument(
        "--scores",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure each map: some hundred passes of the network; without, maps alone",
    )
    return options


def _target(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _labels(file: Path) -> Any:
    """What a file of labels says: JSON, as `wrap` takes it, or a name on each line."""
    text = file.read_text("utf-8-sig")
    if file.suffix == ".json":
        return json.loads(text)
    return [line.strip() for line in text.split("\n") if line.strip()]


def _network(chosen: argparse.Namespace) -> Network:
    told: dict[str, Any] = {"arch": chosen.arch} if chosen.arch else {}
    if chosen.labels:
        try:
            told["labels"] = _labels(chosen.labels)
        except (OSError, ValueError) as error:
            raise OptionError("The file of labels can’t be read: choose another one.") from error
    return named(chosen.network, **told)


def _settings(chosen: argparse.Namespace, methods: list[str], network: Network) -> str:
    """Reports made with equal settings, by equal weights, are the same."""
    left_out = ("photos", "out", "methods", "network", "arch", "labels")
    rest = {name: value for name, value in vars(chosen).items() if name not in left_out}
    about = [network.title, network.labels, network.digest()]
    return json.dumps([methods, rest, about], sort_keys=True)


def _jobs(sources: Sequence[Path], out: Path, settings: str) -> list[Job]:
    """Each photo once, folders with all below them; the report's name follows from content too."""
    found: dict[Path, str] = {}
    for source in sources:
        if source.is_dir():
            found |= {path: path.relative_to(source).as_posix() for path in paths_in(source)}
        else:
            found[source] = source.name
    if not found:
        raise OptionError("There are no photos there: name files, or a folder that holds some.")
    jobs = []
    for path, name in found.items():
        try:
            content = hashlib.sha256(path.read_bytes())
        except OSError:
            content = hashlib.sha256(os.fsencode(name))
        content.update(settings.encode())
        stem = name.rpartition(".")[0].replace("/", "-") or name
        stem = os.fsdecode(os.fsencode(stem)[:LONGEST])
        jobs.append(Job(path, name, out / f"{stem}.{content.hexdigest()[:10]}.zip"))
    return jobs


def _run(jobs: list[Job], network: Network, methods: list[str], chosen: Any) -> list[dict]:
    results, bar = [], Bar(len(jobs))
    for done, job in enumerate(jobs):
        bar.begin(done, job.name)
        result: dict[str, Any] = {"photo": job.name, "report": job.out.name, "state": "kept"}
        if not job.out.exists():
            result |= _attempt(job, network, methods, chosen, bar.within)
            bar.made += 1
        if result["state"] != "failed":
            result |= _notes(job.out)
        results.append(result)
    bar.begin(len(jobs), "")
    return results


def _attempt(
    job: Job, network: Network, methods: list[str], chosen: Any, within: Callable[[float], None]
) -> dict[str, Any]:
    try:
        _write(job.out, _report(job.photo, network, methods, chosen, within))
        return {"state": "made"}
    except ExplainError as error:
        message = str(error)
    except OSError:
        message = "The report can’t be written: is there room for it?"
    except Exception:  # one bad photo never stops the rest
        message = UNEXPECTED
    return {"state": "failed", "report": None, "message": message}


def _notes(path: Path) -> dict[str, Any]:
    """What a finished report says of its photo, as sentences, and of its maps: method -> notes."""
    try:
        with zipfile.ZipFile(path) as archive:
            told = json.loads(archive.read("scores.json"))
        maps = {key: each["notes"] for key, each in told["methods"].items() if each.get("notes")}
        return {"photo_notes": told.get("photo", []), "notes": maps}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {"photo_notes": [], "notes": {}}  # of another version, or damaged since


def _shown(name: str) -> str:
    """A file's name without what would move the cursor, change colours or break the line."""
    return "".join(each if each.isprintable() else "�" for each in name)


def _doubts(results: list[dict]) -> None:
    """Say once what is true of a photo or of all its maps, and by method what is true of one."""
    doubtful = [each for each in results if each.get("notes") or each.get("photo_notes")]
    for each in doubtful[:LISTED]:
        for sentence in each["photo_notes"]:
            print(f"  {_shown(each['photo'])}: {sentence}", file=sys.stderr)
        said: dict[str, list[str]] = {}
        for method, notes in each["notes"].items():
            for note in notes:
                said.setdefault(note["sentence"], []).append(METHODS[method].title)
        for sentence, titles in said.items():
            about = f"{_shown(each['photo'])}, {', '.join(titles)}"
            print(f"  {about}: {sentence}", file=sys.stderr)
    if (more := len(doubtful) - LISTED) > 0:
        print(f"  {more} more photos have notes: see summary.json.", file=sys.stderr)


def _report(
    path: Path, network: Network, methods: list[str], chosen: Any, within: Callable[[float], None]
) -> bytes:
    photo = read(path)
    asked = question(
        network,
        photo,
        chosen.target,
        layer=chosen.layer,
        against=chosen.against,
        framing=chosen.framing,
    )
    found = Comparison(asked, methods, chosen.baseline, chosen.steps, seed=chosen.seed)
    for share in _worked(found, chosen.scores):
        within(share)
    return report.build(photo, found)


def _worked(found: Comparison, scores: bool) -> Iterator[float]:
    """Draw the maps, and measure them if `scores`; yields which share of it is done, about."""
    passes = {key: PASSES[wait(METHODS[key])] for key in found.methods if key not in found.absent}
    one = found.question.network.at_once(found.size) * sum(found.pieces()) if scores else 0
    drawn = sum(passes.values())
    drawn = drawn / max(drawn + one * (len(passes) + 2 * DRAWS), 1)  # of all, with two grains
    for _ in found.draw():
        done = sum(passes[key] * each.done for key, each in found.maps.items())
        yield drawn * done / sum(passes.values())
    orders = len(found.maps) + DRAWS * len({each.per_pixel for each in found.finished()})
    count, yields = 0, orders * sum(found.pieces())
    for work in (found.measure(), found.repeat()) if scores else ():  # twice, for the verdict
        for _ in work:
            count += 1
            yield drawn + (1 - drawn) * min(count / yields, 1.0)


def _write(path: Path, data: bytes) -> None:
    """All or nothing: an interruption leaves no half report behind under its name."""
    half = path.with_name(f".{path.name}.part")
    try:
        half.write_bytes(data)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


class Bar:
    """How many of all photos are done, and how long the others may take: on a terminal one line
    that is drawn anew; else a line for each photo, and for one that takes long some more."""

    def __init__(self, total: int) -> None:
        self.total, self.made = total, 0
        self._start = self._told = time.monotonic()
        self._done, self._name = 0, ""

    def begin(self, done: int, name: str) -> None:
        """So many are done, and now comes that one."""
        self._done, self._name = done, _shown(name)
        self._tell(0.0)

    def within(self, share: float) -> None:
        """So much of that one is done, 0..1."""
        if time.monotonic() - self._told >= (0.2 if sys.stderr.isatty() else WITHIN):
            self._tell(share)

    def _tell(self, share: float) -> None:
        self._told = time.monotonic()
        done, worked = self._done + share, self.made + share
        filled = round(24 * done / self.total)
        line = f"{'█' * filled}{'·' * (24 - filled)} {self._done}/{self.total} {self._name[:40]}"
        line += f", {share:.0%} of it" if share else ""
        if worked and self._done < self.total:
            left = (self._told - self._start) / worked * (self.total - done)
            line += f" · about {left:.0f} s left"
        if sys.stderr.isatty():
            end = "" if self._done < self.total else "\n"
            print(f"\r\033[K{line}", end=end, file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
