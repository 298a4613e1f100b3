"""The CAM family against captum, pytorch-grad-cam, paper and pencil."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from explainers import OptionError
from explainers.zoo.catalogue import CATALOGUE
from tests import nets
from tests.nets import assert_close, maps

# name of a network -> input size and the layers to explain: its last and one in the middle
LAYERS = {
    "resnet18": ((64, 64), ["layer4", "layer2"]),
    "vgg16": ((64, 96), ["features.29", "features.15"]),
    "lite0": ((128, 96), ["bn2", "blocks.3"]),
}
CASES = [(name, layer) for name, (_, layers) in LAYERS.items() for layer in layers]
LIBRARY = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
}


class Paper(nn.Module):
    """Two 1 × 1 convolutions, global average, two classes: small enough for paper and pencil."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, -1, 0], [0, 1, -1]])[..., None, None])
            self.second.weight.copy_(torch.tensor([[1.0, 1], [1, -2]])[..., None, None])
            self.head.weight.copy_(torch.tensor([[1.0, 2], [-1, 1]]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return self.head(self.relu(self.second(x)).mean((2, 3)))


RED_GREEN_BLUE = [[[[3.0, 0], [1, 2]], [[1, 2], [1, 0]], [[0, 0], [3, 1]]]]
# After the first ReLU: [[2, 0], [0, 2]] and [[1, 2], [0, 0]].
# After the second:     [[3, 2], [0, 2]] and [[0, 0], [0, 2]]; before it, two values are exactly 0.
PENCIL = {
    # A0 + 2 A1 and -A0 + A1
    "cam": [[[3, 2], [0, 6]], [[-3, -2], [0, 0]]],
    # the same by 1/4, the gradient of the average over four places
    "gradcam": [[[0.75, 0.5], [0, 1.5]], [[-0.75, -0.5], [0, 0]]],
    "hirescam": [[[0.75, 0.5], [0, 1.5]], [[-0.75, -0.5], [0, 0]]],
    "xgradcam": [[[0.75, 0.5], [0, 1.5]], [[-0.75, -0.5], [0, 0]]],
    # the negative weight of A0 for class 1 is cut off
    "layercam": [[[0.75, 0.5], [0, 1.5]], [[0, 0], [0, 0.5]]],
    # shares of class 0: 1/16 / (2/16 + 7/64) = 4/15 and 1/4 / (2/4 + 2/8) = 1/3;
    # of A1 for class 1: 1/16 / (2/16 + 2/64) = 2/5; weights: 4 places × share × gradient
    "gradcam++": [[[4 / 5, 8 / 15], [0, 8 / 15 + 4 / 3]], [[0, 0], [0, 4 / 5]]],
}


@pytest.mark.parametrize("method", PENCIL)
def test_paper_and_pencil(method):
    network = nets.wrap(Paper(), classes=2, size=2)
    found = maps(network, torch.tensor(RED_GREEN_BLUE), method, 0, 1)
    np.testing.assert_allclose(found, np.array(PENCIL[method]), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), CASES)
def test_gradcam_is_captums(name, layer, exact):
    network = exact(name)
    plain = nets.plain(network)
    x = nets.noise(1, 3, *LAYERS[name][0], seed=1).double()
    ours = maps(network, x, "gradcam", 3, 8, layer=layer)
    reference = LayerGradCam(plain, plain.get_submodule(layer))
    for row, target in enumerate((3, 8)):
        theirs = reference.attribute(x.requires_grad_(), target, relu_attributions=True)[0, 0]
        assert_close(ours[row].clamp(min=0), theirs, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), CASES)
def test_the_family_is_pytorch_grad_cams(name, layer, exact):
    import pytorch_grad_cam  # takes seconds, and only here

    network = exact(name)
    plain = nets.plain(network)
    x = nets.noise(1, 3, *LAYERS[name][0], seed=2).double()
    for method, library in LIBRARY.items():
        with getattr(pytorch_grad_cam, library)(plain, [plain.get_submodule(layer)]) as cam:
            hooked = cam.activations_and_grads
            hooked(x.requires_grad_())[0, 5].backward()
            a, g = hooked.activations[0].numpy(), hooked.gradients[0].numpy()
            theirs = cam.get_cam_image(x, plain.get_submodule(layer), [], a, g, False)[0]
        ours = maps(network, x, method, 5, layer=layer)[0]
        assert_close(ours, torch.from_numpy(theirs), 1e-6)


@pytest.mark.parametrize(
    "entry", [each for each in CATALOGUE if each.head == "softmax"], ids=lambda entry: entry.key
)
def test_gradcam_is_cam_where_cam_exists(entry):
    network = nets.like(entry)
    if network.cam_weights is None:
        assert entry.key in nets.why_not(network, "cam")
        return
    x = nets.noise(1, 3, 64, 96, seed=3)
    cam, grad = maps(network, x, "cam", 2, 7), maps(network, x, "gradcam", 2, 7)
    assert cam.shape[1:] == grad.shape[1:] == (2, 3)
    for ours, theirs in zip(grad * grad[0].numel(), cam, strict=True):
        assert_close(ours, theirs, 5e-6)


def test_cam_says_why_it_does_not_exist(vgg16, resnet18):
    assert nets.why_not(resnet18, "cam") is None
    assert "linear layer right after the last layer, and vgg16 has" in nets.why_not(vgg16, "cam")
    with pytest.raises(OptionError, match="vgg16 has something else"):
        maps(vgg16, nets.noise(1, 3, 64, 64), "cam", 0)


class TinyHead(nn.Module):
    """Two linear layers after the average; their logits are all but zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.hidden, self.head = nn.Linear(6, 6), nn.Linear(6, 4)
        with torch.no_grad():
            for part in (self.hidden, self.head):
                part.weight.mul_(1e-2)
                part.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.conv(x).mean((2, 3)))))


def test_no_cam_for_a_head_of_two_layers_however_small_its_logits():
    assert nets.wrap(TinyHead(), classes=4, size=16).cam_weights is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_several_targets_are_each_alone(name, request):
    network = request.getfixturevalue(name)
    x = nets.noise(1, 3, 96, 64, seed=4)
    together = {method: maps(network, x, method, 1, 5, 9) for method in LIBRARY}
    for column, target in enumerate((1, 5, 9)):
        again = nets.noise(1, 3, 96, 64, seed=4) + 1e-9 * target  # a view of its own: no cache
        for method, values in together.items():
            alone = maps(network, again, method, target)[0]
            assert_close(values[column], alone, 1e-4)


@pytest.mark.parametrize("method", ["cam", "gradcam", "hirescam", "gradient"])
def test_against_is_the_difference_of_both(method, resnet18):
    x = nets.noise(1, 3, 64, 96, seed=5)
    of_a, of_b = maps(resnet18, x, method, 4, 6)
    assert_close(maps(resnet18, x, method, 4, against=6)[0], of_a - of_b, 1e-5)


class InPlace(nn.Module):
    """Works in place on what the tapped convolution hands over, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


def test_a_tap_keeps_what_the_layer_said_before_an_in_place_relu():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nets.wrap(InPlace(), classes=3, size=8, layers={"conv": "first"})
    x = nets.noise(1, 3, 8, 8, seed=6)
    a = network.module.conv(x)[0]
    assert (a < 0).any()
    gradient = network.module.head.weight[1][:, None, None] / 64 * (a > 0)
    found = maps(network, x, "gradcam", 1, layer="conv")[0]
    expected = (gradient.mean((1, 2))[:, None, None] * a).sum(0)
    assert_close(found, expected, 1e-5)
