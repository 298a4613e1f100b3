"""Graph models of TensorFlow.js, run by PyTorch: as much of them as the teachers need.

Two detectors of `teachers.py` are published in this form only. Values stay as TensorFlow lays them
out, (N, H, W, C); which for a convolution here is a view in channels-last order.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Node = dict[str, Any]
ACTIVATIONS = {"Relu": F.relu, "Relu6": F.relu6, "Sigmoid": torch.sigmoid}


class Graph:
    """The part of a graph model that leads from its one input to some of its nodes."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        model = json.loads(path.read_text("utf-8"))
        self.outputs = list(outputs)
        self.nodes: dict[str, Node] = {n["name"]: n for n in model["modelTopology"]["node"]}
        self.constants = _constants(path.parent, model["weightsManifest"][0])
        (place,) = (n for n in self.nodes.values() if n["op"] == "Placeholder")
        self.place = place["name"]
        self.shape = [int(d["size"]) for d in place["attr"]["shape"]["shape"]["dim"]]
        waiting, needed = list(outputs), {}
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = self._sources(name)
                waiting += needed[name]
        self.order = list(TopologicalSorter(needed).static_order())

    def _sources(self, name: str) -> list[str]:
        return [each for each in self.nodes[name].get("input", []) if not each.startswith("^")]

    def to(self, device: str | torch.device) -> Graph:
        """Its constants moved there; but axes, sizes and single numbers stay, since whoever asks a
        GPU for them waits until it has done all else."""
        self.constants = {
            name: value.to(device) if value.ndim and value.is_floating_point() else value
            for name, value in self.constants.items()
        }
        return self

    @torch.no_grad()
    def __call__(self, x: Tensor) -> list[Tensor]:
        """x in the layout that the graph expects, of any size; the values of the outputs."""
        side = max(self.shape)
        grown = [new / side for new, old in zip(x.shape, self.shape, strict=True) if old == side]
        found = {self.place: x}
        for name in self.order:
            if name not in found:
                node, sources = self.nodes[name], [found[each] for each in self._sources(name)]
                constant = node["op"] == "Const"
                found[name] = self.constants[name] if constant else _value(node, sources, grown)
        return [found[name] for name in self.outputs]

    def convolutions(self) -> list[tuple[Tensor, Tensor]]:
        """Kernels (outputs, inputs, h, w) and biases of its convolutions, as the exporter counted
        them."""
        found = {}
        for add in (self.nodes[name] for name in self.order):
            sources = self._sources(add["name"])
            if add["op"] == "Add" and self.nodes[sources[0]]["op"] == "Conv2D":
                kernel = self._sources(sources[0])[1]
                count = kernel.rpartition("/")[2].partition("_")[2]
                weight = self.constants[kernel].permute(3, 2, 0, 1)
                found[int(count or 0)] = (weight, self.constants[sources[1]])
        return [found[count] for count in sorted(found)]


def _constants(folder: Path, manifest: Node) -> dict[str, Tensor]:
    raw = b"".join((folder / name).read_bytes() for name in manifest["paths"])
    place, found = 0, {}
    for each in manifest["weights"]:
        kept = np.dtype(each.get("quantization", each)["dtype"])
        values = np.frombuffer(raw, kept, int(np.prod(each["shape"])), place)
        place += values.nbytes
        found[each["name"]] = torch.from_numpy(values.astype(each["dtype"]).reshape(each["shape"]))
    return found


def _text(code: str) -> str:
    return b64decode(code).decode()


def _value(node: Node, x: list[Tensor], grown: list[float]) -> Tensor:
    """What a node makes of its inputs; grown: how much taller and wider than at export."""
    attributes = node.get("attr", {})
    match node["op"]:
        case "Identity":
            return x[0]
        case "Add" | "AddV2":
            return x[0] + x[1]
        case "Mul":
            return x[0] * x[1]
        case "Relu" | "Relu6" | "Sigmoid" as name:
            return ACTIVATIONS[name](x[0])
        case "LeakyRelu":
            return F.leaky_relu(x[0], attributes["alpha"]["f"])
        case "Transpose":
            return x[0].permute(*x[1].tolist())
        case "Pad" | "PadV2":
            ends = chain.from_iterable(reversed(x[1].tolist()))
            return F.pad(x[0], list(ends), value=float(x[2]) if len(x) > 2 else 0.0)
        case "Mean":
            return x[0].mean(x[1].tolist(), keepdim=attributes["keep_dims"]["b"])
        case "ConcatV2":
            return torch.cat(x[:-1], int(x[-1]))
        case "ResizeBilinear":
            size = [round(side * by) for side, by in zip(x[1].tolist(), grown, strict=True)]
            return _resized(x[0], size, attributes["half_pixel_centers"]["b"])
        case "MaxPool":
            kernel = [int(v) for v in attributes["ksize"]["list"]["i"][1:3]]
            padded = _padded(x[0].permute(0, 3, 1, 2), kernel, attributes, float("-inf"))
            return F.max_pool2d(padded, kernel, _strides(attributes)).permute(0, 2, 3, 1)
        case name if "Conv2d" in name or "Conv2D" in name:
            return _convolved(node, x)
    raise ValueError(f"The graph holds an operation that is not known here: {node['op']}.")


def _convolved(node: Node, x: list[Tensor]) -> Tensor:
    attributes, pixels, kernel = node["attr"], x[0].permute(0, 3, 1, 2), x[1]
    if "Depthwise" in node["op"]:
        groups, weight = kernel.shape[2], kernel.flatten(2)[:, :, None].permute(3, 2, 0, 1)
    else:
        groups, weight = pixels.shape[1] // kernel.shape[2], kernel.permute(3, 2, 0, 1)
    pixels = _padded(pixels, kernel.shape[:2], attributes, 0.0)
    weight = weight.contiguous(memory_format=torch.channels_last)
    out = F.conv2d(pixels, weight, stride=_strides(attributes), groups=groups).permute(0, 2, 3, 1)
    for name in map(_text, attributes.get("fused_ops", {}).get("list", {}).get("s", [])):
        out = out + x[2] if name == "BiasAdd" else ACTIVATIONS[name](out)
    return out


def _strides(attributes: Node) -> list[int]:
    return [int(v) for v in attributes["strides"]["list"]["i"][1:3]]


def _padded(x: Tensor, kernel: Sequence[int], attributes: Node, value: float) -> Tensor:
    """As TensorFlow's "SAME" pads: more below and to the right where the sum is odd."""
    if _text(attributes["padding"]["s"]) != "SAME":
        return x
    ends: list[int] = []
    for side, width, stride in zip(x.shape[2:], kernel, _strides(attributes), strict=True):
        total = max((-(-side // stride) - 1) * stride + width - side, 0)
        ends = [total // 2, total - total // 2, *ends]
    return F.pad(x, ends, value=value)


def _resized(x: Tensor, size: Sequence[int], centred: bool) -> Tensor:
    """Bilinear; without half-pixel centres place n of the output is n times in / out of the input,
    which PyTorch has no name for."""
    if centred:
        x = F.interpolate(x.permute(0, 3, 1, 2), list(size), mode="bilinear", align_corners=False)
        return x.permute(0, 2, 3, 1)
    for axis, (old, new) in enumerate(zip(x.shape[1:3], size, strict=True), start=1):
        place = torch.arange(new, device=x.device) * (old / new)
        low = place.long()
        share = (place - low).reshape([-1 if n == axis else 1 for n in range(4)])
        high = (low + 1).clamp(max=old - 1)
        x = x.index_select(axis, low).lerp(x.index_select(axis, high), share)
    return x
