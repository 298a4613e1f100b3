"""Clips in, clips out: every frame, in order, upright, in time, or one sentence."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from explainers import PhotoError, render
from explainers.methods.cam import gradcam
from explainers.photo import read
from explainers.units import video
from explainers.units.video import Look, side_by_side

RATE = 10


def clip(path: Path, shades: list[int], *, times: list[float] | None = None, **how) -> Path:
    """A clip whose frames are flat greys of those shades, one corner white."""
    webm = path.suffix == ".webm"
    width, height = how.get("size", (64, 48))
    kind = {".webm": "webm", ".mkv": "matroska"}.get(path.suffix, "mp4")
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("libvpx" if webm else "libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.color_trc = how.get("transfer", 1)
        stream.codec_context.sample_aspect_ratio = how.get("pixel", Fraction(1))
        for index, shade in enumerate(shades):
            pixels = np.full((height, width, 3), shade, np.uint8)
            pixels[: height // 4, : width // 4] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            at = times[index] if times else index / RATE
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound(path: Path, cover: bool = False) -> Path:
    """A file with sound alone, or with a picture of who plays."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        if cover:
            still = container.add_stream("mjpeg", rate=1)
            still.width, still.height, still.pix_fmt = 64, 48, "yuvj420p"
            still.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = 0, Fraction(1)
            container.mux(still.encode(frame))
            container.mux(still.encode(None))
    return path


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def panel(picture: np.ndarray, index: int, width: int, height: int) -> np.ndarray:
    """The photo, the channel or Grad-CAM of a side-by-side frame."""
    left = index * (width + 6)
    return picture[26 : 26 + height, left : left + width]


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_frame_count_order_and_times_survive(kind, tmp_path, resnet18):
    shades = [20, 220, 60, 180, 100, 140, 240, 30]
    times = [0, 0.1, 0.2, 0.5, 0.6, 1.1, 1.2, 1.3]  # not evenly
    given = clip(tmp_path / f"in.{kind}", shades, times=times)
    out = tmp_path / "out.mp4"
    steps = list(side_by_side(given, out, Look(resnet18, "layer2", 3, 1)))
    assert steps[-1].path == out
    assert steps[-1].frames == len(shades)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[0].preview.shape[2] == 3
    found = frames(out)
    assert len(found) == len(shades)
    np.testing.assert_allclose([at for at, _ in found], times, atol=0.011)
    shown = [panel(picture, 0, 64, 48)[24:].mean() for _, picture in found]
    np.testing.assert_allclose(shown, shades, atol=12)
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    head = out.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays before it is loaded to its end


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])  # with a GAP head, and without
def test_the_pictures_are_channel_and_gradcam(name, tmp_path, request):
    network = request.getfixturevalue(name)
    layer, channel, target = network.last, 5, 4
    given = clip(tmp_path / "in.mp4", [90])
    *_, first, _ = side_by_side(given, tmp_path / "out.mp4", Look(network, layer, channel, target))
    ((_, pixels),) = frames(given)
    seen = read(pixels)
    recording = network.record(network.prepare(seen).tensor, (layer,))
    a = recording.activations[layer].detach()[0]
    cam = gradcam(a, recording.gradients((target,), None, layer)[:, 0])[0]
    small = render.shrink(seen, 320)
    for index, values in ((1, a[channel]), (2, cam)):
        expected = render.glow(small, values.numpy(), (0, 0, 1, 1), max(float(values.max()), 1e-6))
        shown = panel(first.preview, index, 64, 48).astype(int)
        assert np.abs(shown - expected).mean() < 3


def shown_by(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """The same clip with that matrix: (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix behind 40 bytes
    matrix = *(n << 16 for n in (a, b, 0, c, d, 0, 0, 0)), 1 << 30
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "corner"),  # where the white corner goes
    [
        ((1, 0, 0, 1), "top left"),
        ((0, 1, -1, 0), "top right"),
        ((-1, 0, 0, -1), "bottom right"),
        ((0, -1, 1, 0), "bottom left"),
        ((-1, 0, 0, 1), "top right"),  # mirrored, as phones do with the camera in front
        ((1, 0, 0, -1), "bottom left"),
        ((0, 1, 1, 0), "top left"),
        ((0, -1, -1, 0), "bottom right"),
    ],
)
def test_turned_and_mirrored_as_the_file_says(matrix, corner, tmp_path):
    given = shown_by(clip(tmp_path / "in.mp4", [40]), *matrix)
    with video._reader(given) as (source, _):
        ((_, pixels),) = video._frames(source)
    assert pixels.shape[:2] == ((48, 64) if matrix[0] else (64, 48))
    rows, columns = (slice(8) if side in corner else slice(-8, None) for side in ("top", "left"))
    assert pixels[rows, columns].mean() > 200
    assert (pixels > 150).mean() < 0.1


def test_pixels_that_are_not_square_and_files_without_a_brand(tmp_path, resnet18):
    given = clip(tmp_path / "in.mov", [40, 80], pixel=Fraction(5, 4))
    given.write_bytes(given.read_bytes().replace(b"ftyp", b"wide", 1))  # as QuickTime did once
    first, *_ = side_by_side(given, tmp_path / "out.mp4", Look(resnet18, "layer2", 3, 1))
    assert first.preview.shape == (48 + 26, 3 * 80 + 12, 3)


@pytest.mark.parametrize(("transfer", "words"), [(1, ""), (16, "HDR (PQ)"), (18, "HDR (HLG)")])
def test_a_clip_for_bright_screens_is_told_of(transfer, words, tmp_path, resnet18):
    given = clip(tmp_path / "in.mp4", [40], transfer=transfer)
    *_, last = side_by_side(given, tmp_path / "out.mp4", Look(resnet18, "layer2", 3, 1))
    assert words in last.note if words else last.note is None


def test_a_clip_that_was_cut_out_of_a_long_one_is_short(tmp_path, resnet18):
    given = clip(tmp_path / "in.mkv", [40, 80], times=[3600, 3601])
    *_, last = side_by_side(given, tmp_path / "out.mp4", Look(resnet18, "layer2", 3, 1))
    assert last.frames == 2
    np.testing.assert_allclose([at for at, _ in frames(last.path)], [0, 1], atol=0.011)
    late = clip(tmp_path / "late.mkv", [40, 80, 40], times=[3600, 3601, 3640])
    with pytest.raises(PhotoError, match="longer than 30 seconds"):
        list(side_by_side(late, tmp_path / "out.mp4", Look(resnet18, "layer2", 3, 1)))


def test_a_phone_held_upright(tmp_path, resnet18):
    given = shown_by(clip(tmp_path / "in.mp4", [40, 40]), 0, 1, -1, 0)  # shown turned clockwise
    steps = list(side_by_side(given, tmp_path / "out.mp4", Look(resnet18, "layer2", 3, 1)))
    upright = panel(steps[0].preview, 0, 48, 64)
    assert steps[0].preview.shape == (64 + 26, 3 * 48 + 12, 3)
    assert upright[:12, -8:].mean() > 200  # the white corner went from left to right
    assert upright[:12, :8].mean() < 90


def sliced(path: Path, start: int, stop: int | None) -> Path:
    path.write_bytes(path.read_bytes()[start:stop])
    return path


def bad(kind: str, folder: Path) -> Path:
    """A file that can't become a video."""
    path = folder / "bad.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    elif kind == "half":
        sliced(clip(path, [50] * 20), 0, 700)
    elif kind == "long":
        clip(path, [50] * 4, times=[0, 10, 20, 31])
    elif kind == "endless webm":
        path = clip(folder / "bad.webm", [50] * 4, times=[0, 10, 20, 31])
    elif kind == "cut":  # in the midst of what says where its pictures are
        clip(path, [50] * 20)
        sliced(path, 0, path.read_bytes().index(b"moov") + 200)
    elif kind in ("sound", "music"):
        sound(path, cover=kind == "music")
    elif kind == "huge":
        path.touch()
        with path.open("r+b") as file:
            file.truncate(101_000_000)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "not a video"),
        ("text", "not a video"),
        ("half", "damaged"),
        ("long", "longer than 30 seconds"),
        ("endless webm", "longer than 30 seconds"),
        ("cut", "damaged"),
        ("sound", "no picture"),
        ("music", "no picture"),
        ("huge", "larger than"),
    ],
)
def test_what_is_no_short_clip_gets_one_sentence(kind, words, tmp_path, resnet18):
    given, out = bad(kind, tmp_path), tmp_path / "out.mp4"
    with pytest.raises(PhotoError, match=words) as caught:
        list(side_by_side(given, out, Look(resnet18, "layer2", 3, 1)))
    assert str(caught.value).count(".") == 1
    assert str(tmp_path) not in str(caught.value)
    assert not out.exists()


def test_scrambled_pictures_never_raise_anything_else(tmp_path, resnet18):
    whole = clip(tmp_path / "whole.mp4", list(range(0, 240, 12))).read_bytes()
    random = np.random.default_rng(4)
    for attempt in range(16):
        data = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(40, len(data), 30)
        data[places] = random.integers(0, 256, 30)
        given, out = tmp_path / f"{attempt}.mp4", tmp_path / f"out{attempt}.mp4"
        given.write_bytes(data.tobytes())
        try:
            *_, last = side_by_side(given, out, Look(resnet18, "layer4", 3, 1))
        except PhotoError:
            assert not out.exists()
        else:
            assert len(frames(out)) == last.frames


def test_cancel_stops_at_once_and_leaves_nothing(tmp_path, resnet18):
    given, out = clip(tmp_path / "in.mp4", [50] * 30), tmp_path / "out.mp4"
    work = side_by_side(given, out, Look(resnet18, "layer2", 3, 1))
    assert next(work).frames == 1
    assert torch.is_grad_enabled()  # nothing is held between two steps
    work.close()
    assert not out.exists()
