"""A clip in, a clip out: the photo, one channel and Grad-CAM side by side, frame by frame.

One frame is in memory at a time. Every frame of the clip is in the video, in order, at its time.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

from .. import render
from ..errors import PhotoError
from ..network import Network
from ..photo import read
from ..photo.profile import of_transfer
from ..render import sheets
from .activations import check, layer_of
from .glance import passed, warmth

LONGEST = 30  # seconds
SLACK = 0.5  # seconds: containers round
MOST_FRAMES = 60 * LONGEST + 30
MOST_SIDE = 4096  # pixels
HEAVIEST = 100_000_000  # bytes
PANEL = 320  # pixels on the longer side of each of the three pictures
OBLONG = Fraction(4)  # more oblong is no pixel
CLOCK = 90_000  # ticks a second, as in MPEG: fine enough for any frame rate

# What files begin with; those of QuickTime with any of several of its parts.
_KINDS = {b"\x1aE\xdf\xa3": "matroska"}
_PARTS = dict.fromkeys((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"), "mov")

_NOT_A_CLIP = "This is not a video that can be read here: choose an MP4 or WebM file."
_DAMAGED = "The clip is damaged or incomplete: export it once more and try again."
_NO_PICTURE = "This file has sound but no picture: choose a clip with video."
_TOO_LONG = f"The clip is longer than {LONGEST} seconds: cut it shorter and try again."
_TOO_LARGE = f"The clip is larger than {MOST_SIDE} pixels or 100 MB: save it smaller and try again."
_TOO_MANY = "The clip has more than 60 frames a second: save it with fewer and try again."


@dataclass(frozen=True)
class Look:
    """What to watch. target: the class of Grad-CAM; None is the first guess on the first frame."""

    network: Network
    layer: str
    channel: int
    target: int | None = None


@dataclass(frozen=True)
class Step:
    """A frame more. done: 0 to 1. frames: written so far. preview: the latest (H, W, 3); None at
    the end, when `path` is the finished file. note: a sentence on how the clip was read, or None.
    """

    done: float
    frames: int
    seconds: float
    preview: np.ndarray | None = None
    path: Path | None = None
    note: str | None = None


def side_by_side(clip: Path, out: Path, look: Look) -> Iterator[Step]:
    """Write the video of `clip` (MP4, MOV or WebM) to `out` (.mp4, H.264), yielding progress.

    Raises PhotoError with one sentence for what is too long, broken or has no picture. When it is
    closed or fails, nothing is left at `out`.
    """
    check(look.network, look.layer, look.channel)
    finished = False
    try:
        for step in _work(clip, out, look):
            finished = step.path is not None
            yield step
    except PhotoError:
        raise
    except (av.error.FFmpegError, ValueError, ArithmeticError, MemoryError) as error:
        raise PhotoError(_DAMAGED) from error  # a decoder fed hostile bytes raises many things
    finally:
        if not finished:
            out.unlink(missing_ok=True)


def _work(clip: Path, out: Path, look: Look) -> Iterator[Step]:
    since = time.perf_counter()
    painter, count = _Painter(look), 0
    with _reader(clip) as (source, length):
        note = of_transfer(_stream(source).codec_context.color_trc)
        with _writer(out, source) as writer:
            for at, pixels in _frames(source):
                picture = painter.paint(pixels)
                writer.write(at, picture)
                count += 1
                done = min(at / length, 0.99)
                yield Step(done, count, time.perf_counter() - since, picture)
    if not count:
        raise PhotoError(_DAMAGED)
    yield Step(1.0, count, time.perf_counter() - since, path=out, note=note)


@contextmanager
def _reader(clip: Path) -> Iterator[tuple[InputContainer, float]]:
    """The clip, opened as what its first bytes say (no playlist, no address, no other file), and
    its length in seconds."""
    if clip.stat().st_size > HEAVIEST:
        raise PhotoError(_TOO_LARGE)
    with clip.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        name = _PARTS.get(head[4:8]) or _KINDS.get(head[:4])
        if name is None:
            raise PhotoError(_NOT_A_CLIP)
        try:
            # Matroska counts from 0, wherever the clip was cut out.
            begin = _begin(file, name) if name == "matroska" else 0.0
            source = av.open(file, format=name, metadata_errors="ignore")
        except av.error.FFmpegError as error:
            raise PhotoError(_DAMAGED) from error
        with source:
            _check(source)
            length = _length(source)
            length -= begin if begin < length else 0
            if length > LONGEST + SLACK:
                raise PhotoError(_TOO_LONG)
            yield source, length


def _begin(file: BinaryIO, name: str) -> float:
    """The time of its first picture, in seconds; the file is left at its start."""
    with av.open(file, format=name, metadata_errors="ignore") as source:
        stream = _stream(source)
        packet = None if stream is None else next(source.demux(stream), None)
        begin = packet.pts * packet.time_base if packet and packet.pts else 0
    file.seek(0)
    return float(begin)


def _stream(source: InputContainer) -> av.VideoStream | None:
    """The pictures that move: the cover of a piece of music does not."""
    moving = (s for s in source.streams.video if not s.disposition & Disposition.attached_pic)
    return next(moving, None)


def _check(source: InputContainer) -> None:
    stream = _stream(source)
    if stream is None:
        raise PhotoError(_NO_PICTURE if source.streams.audio else _DAMAGED)
    coded = stream.codec_context
    if coded is None or not (coded.width and coded.height):  # None: a codec that nobody knows
        raise PhotoError(_DAMAGED)
    width, height = coded.width, coded.height
    if max(width, height) > MOST_SIDE or min(width, height) < 8:
        raise PhotoError(_TOO_LARGE)


def _length(source: InputContainer) -> float:
    """Seconds, as the file says; a file that says nothing is taken to be as long as allowed."""
    stream = _stream(source)
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return source.duration / av.time_base if source.duration else LONGEST


def _frames(source: InputContainer) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds since the first frame, upright RGB pixels) of every frame, in order."""
    stream = _stream(source)
    rate = stream.average_rate or Fraction(30)
    pixel = stream.sample_aspect_ratio or Fraction(1)
    pixel = pixel if 1 / OBLONG <= pixel <= OBLONG else Fraction(1)
    first: float | None = None
    for index, frame in enumerate(source.decode(stream)):
        at = float(index / rate) if frame.time is None else frame.time
        first = at if first is None else first
        if at - first > LONGEST + SLACK:
            raise PhotoError(_TOO_LONG)
        if index >= MOST_FRAMES:
            raise PhotoError(_TOO_MANY)
        if max(frame.width, frame.height) > MOST_SIDE:
            raise PhotoError(_TOO_LARGE)
        width = float(frame.width * pixel)
        factor = min(1.0, 2 * PANEL / max(width, frame.height))
        size = {"width": round(width * factor), "height": round(frame.height * factor)}
        pixels = frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
        yield at - first, _upright(pixels, frame.side_data.get("DISPLAYMATRIX"))


def _upright(pixels: np.ndarray, matrix: Any) -> np.ndarray:
    """Turned and mirrored by quarters as the file says (ISO 14496-12, 8.3.2), or as they are."""
    if matrix is None:
        return pixels
    across, aslant, _, leaning, down = struct.unpack_from("=5i", bytes(matrix))
    if abs(aslant) > abs(across):  # a column of the picture is a row of what is shown
        pixels, across, down = pixels.transpose(1, 0, 2), leaning, aslant
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


@dataclass
class _Painter:
    """Draws the three pictures of a frame, on scales that only ever grow, so nothing flickers."""

    look: Look
    target: int | None = None
    tops: list[float] = field(default_factory=lambda: [1e-6, 1e-6])

    def paint(self, pixels: np.ndarray) -> np.ndarray:
        network, layer = self.look.network, self.look.layer
        seen = read(np.ascontiguousarray(pixels))
        view = network.prepare(seen)
        recording = passed(network, view.tensor, [layer])
        if self.target is None:
            asked = self.look.target
            self.target = int(recording.logits.argmax()) if asked is None else asked
        maps = [
            recording.activations[layer].detach()[0, self.look.channel].cpu().numpy(),
            warmth(network, recording, self.target).cpu().numpy(),
        ]
        self.tops = [max(top, float(each.max())) for top, each in zip(self.tops, maps, strict=True)]
        chance = float(network.probabilities(recording.logits.detach()[0])[self.target])
        small = render.shrink(seen, PANEL)
        glowing = [
            render.glow(small, each, view.frame, top)
            for each, top in zip(maps, self.tops, strict=True)
        ]
        stage = layer_of(network, layer).title.split(" · ")[0]
        titles = (
            "Photo",
            f"Unit {self.look.channel} · {stage}",
            f"Grad-CAM · {network.labels[self.target]} {chance:.0%}",
        )
        return sheets.row([small, *glowing], titles)


class _Writer:
    """An H.264 file that any browser plays; its size is that of the first picture."""

    def __init__(self, container: OutputContainer, rate: Fraction) -> None:
        self.container, self.rate = container, rate
        self.stream: av.VideoStream | None = None
        self.last = -1

    def write(self, at: float, picture: np.ndarray) -> None:
        if self.stream is None:
            self.stream = self._start(picture)
        if picture.shape[:2] != (self.stream.height, self.stream.width):
            raise PhotoError("The clip changes its size on the way: export it once more, please.")
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self.last = max(self.last + 1, round(at * CLOCK))
        frame.pts, frame.time_base = self.last, Fraction(1, CLOCK)
        self.container.mux(self.stream.encode(frame))

    def _start(self, picture: np.ndarray) -> av.VideoStream:
        options = {"crf": "21", "preset": "veryfast"}
        stream = self.container.add_stream("libx264", rate=self.rate, options=options)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 2
        return stream

    def finish(self) -> None:
        if self.stream is not None:
            self.container.mux(self.stream.encode(None))


@contextmanager
def _writer(out: Path, source: InputContainer) -> Iterator[_Writer]:
    rate = _stream(source).average_rate or Fraction(30)
    container = av.open(str(out), "w", format="mp4", options={"movflags": "+faststart"})
    try:
        writer = _Writer(container, min(max(rate, Fraction(1)), Fraction(60)))
        yield writer
        writer.finish()
    finally:
        container.close()
