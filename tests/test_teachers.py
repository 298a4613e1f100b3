"""What the COCO network learns from: graphs of TensorFlow.js, and detectors that agree."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training import teachers
from training.published import known
from training.tfjs import Graph


def code(text: str) -> str:
    return b64encode(text.encode()).decode()


def node(name: str, op: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def graph(folder: Path, kernel: np.ndarray, bias: np.ndarray) -> Graph:
    """A convolution of stride 2 padded as "SAME", with bias and ReLU6, made twice as large."""
    convolution = node(
        "conv",
        "_FusedConv2D",
        "x",
        "kernel",
        "bias",
        strides={"list": {"i": ["1", "2", "2", "1"]}},
        padding={"s": code("SAME")},
        fused_ops={"list": {"s": [code("BiasAdd"), code("Relu6")]}},
    )
    shape = {"dim": [{"size": str(side)} for side in (1, 8, 8, 2)]}
    nodes = [
        node("large", "ResizeBilinear", "conv", "size", half_pixel_centers={"b": False}),
        convolution,
        node("x", "Placeholder", shape={"shape": shape}),
        *(node(name, "Const") for name in ("kernel", "bias", "size", "unused")),
    ]
    values = {"kernel": kernel.astype(np.float16), "bias": bias.astype(np.float32)}
    values["size"] = np.array([8, 8], np.int32)
    weights = [
        {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)}
        for name, value in values.items()
    ]
    weights[0] |= {"dtype": "float32", "quantization": {"dtype": "float16"}}
    (folder / "a.bin").write_bytes(b"".join(value.tobytes() for value in values.values()))
    manifest = [{"paths": ["a.bin"], "weights": weights}]
    model = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    (folder / "a.json").write_text(json.dumps(model))
    return Graph(folder / "a.json", ("large", "conv"))


@pytest.mark.parametrize(("tall", "wide"), [(8, 8), (16, 24)])
def test_a_graph_gives_what_tensorflow_would_at_any_size(
    tmp_path: Path, tall: int, wide: int
) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1, (3, 3, 2, 4)).astype(np.float16)
    bias = rng.normal(0, 1, 4)
    x = rng.normal(0, 1, (6, tall, wide, 2)).astype(np.float32)
    large, conv = graph(tmp_path, kernel, bias)(torch.from_numpy(x))
    # of stride 2 over an even side, "SAME" pads by one at the end alone
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    hand = np.empty((6, tall // 2, wide // 2, 4))
    for row in range(tall // 2):
        for column in range(wide // 2):
            patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            hand[:, row, column] = np.einsum("nabc,abcd->nd", patch, kernel.astype(np.float64))
    np.testing.assert_allclose(conv, (hand + bias).clip(0, 6), atol=1e-4)
    # place n of the larger map is place n / 2 of the smaller, and the last is repeated
    assert torch.equal(large[:, ::2, ::2], conv)
    between = (conv[:, :, :-1] + conv[:, :, 1:]) / 2
    torch.testing.assert_close(large[:, ::2, 1:-1:2], between)
    assert torch.equal(large[:, ::2, -1], conv[:, :, -1])


def test_an_operation_that_is_not_known_is_named(tmp_path: Path) -> None:
    made = graph(tmp_path, np.zeros((3, 3, 2, 4)), np.zeros(4))
    made.nodes["conv"]["op"] = "FloorMod"
    with pytest.raises(ValueError, match="FloorMod"):
        made(torch.zeros(1, 8, 8, 2))


def test_another_file_than_the_known_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nanodet.bin"
    path.write_bytes(b"weights")
    digest = "9de9f39e2e0d1bb5a5d0a3bd02d43c1d3a6b7f4f8c2e9e3ccfb4b5de0c5d2b2b"
    with pytest.raises(ValueError, match="the known nanodet"):
        known(path, digest)


def test_who_knows_more_has_more_to_say() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-2, 2, (400, 20))
    present = rng.random((400, 20)) < 1 / (1 + np.exp(-truth))
    guess = rng.normal(0, 2, truth.shape)
    weights = teachers.weigh(np.stack([truth * 2 + 3, guess], 1), present)
    assert weights[0] == pytest.approx(0.5, abs=0.05)
    assert weights[1] == pytest.approx(0, abs=0.05)
    assert weights[2] == pytest.approx(-1.5, abs=0.15)


def test_teachers_whose_peaks_lie_apart_still_agree() -> None:
    asked = np.full((2, 80, 4, 6), -5.0, np.float32)
    asked[0, 7, 1, 1], asked[1, 7, 1, 2] = 3.0, 2.0  # one thing, a place apart
    asked[:, 9, 3, 5] = 1.0  # both at one place
    weights = torch.tensor([1.0, 0.5, 0.25])
    several = torch.from_numpy(asked)[:, None].expand(-1, 3, -1, -1, -1)
    found = teachers.agreed(torch.from_numpy(asked), weights)
    assert torch.equal(teachers.agreed(several, weights)[2], found)  # a batch of photos
    assert found[7].max() == pytest.approx(3 + 0.5 * 2 + 0.25)
    assert found[9].max() == pytest.approx(1 + 0.5 + 0.25)
    assert found[7].argmax() == 1 * 6 + 1
    assert found[8] == pytest.approx(-5 - 2.5 + 0.25)
    lowered = found[7, 1, 1] - found[7, 1, 2]
    assert lowered == pytest.approx((3 + 5) - 0.5 * (2 + 5))


def test_every_teacher_answers_on_the_same_grid() -> None:
    """YOLOv3-tiny's coarse head and CenterNet's fine heat, on places of 16 pixels."""
    heat = torch.zeros(2, 24, 32, 80)
    heat[0, 5, 9, 3] = 4.0
    placed = teachers._centre(lambda x: [heat], torch.zeros(2, 96, 128, 3))
    assert placed.shape == (2, 80, 6, 8)
    assert placed[0, 3, 1, 2] == 4.0
    assert placed.sum() == 4.0
    levels = [torch.zeros(2, 124, 96 // s, 128 // s) for s in (8, 16, 32)]
    levels[2][0, 3, 1, 2], levels[0][1, 7, 11, 15] = 2.0, 1.0
    levels[1][:, 80:] = 9.0  # where its boxes lie: not classes
    seen: list[torch.Tensor] = []

    def nano(x: torch.Tensor) -> list[torch.Tensor]:
        seen.append(x)
        return levels

    pixels = torch.full((2, 96, 128, 3), 103.53)
    found = teachers._nano(nano, pixels)
    assert found.shape == (2, 80, 6, 8)
    assert (found[0, 3, 2:4, 4:6] == 2.0).all()
    assert found[1, 7, 5, 7] == 1.0
    assert found.max() == 2.0
    assert F.l1_loss(seen[0][:, 0], torch.zeros(2, 96, 128)) < 1e-6  # blue comes first
