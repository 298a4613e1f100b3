"""Integrated gradients and SmoothGrad: sums and means over many passes, which grow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from torch import Tensor

from explainers import METHODS, Network, OptionError, Question, ask
from tests import nets
from tests.nets import assert_close, maps
from tests.test_backprop import Small
from tests.test_cam import LAYERS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_integrated_gradients_are_captums(name, exact):
    network = exact(name)
    x = nets.noise(1, 3, *LAYERS[name][0], seed=16).double()
    captums = IntegratedGradients(nets.plain(network))
    theirs = captums.attribute(x, torch.zeros_like(x), 2, n_steps=6, method="gausslegendre")[0]
    assert_close(maps(network, x, "integrated", 2, steps=6)[0], theirs, 1e-6)


@pytest.mark.slow
def test_integrated_gradients_add_up_to_what_the_logit_gained():
    network = nets.wrap(Small(F.relu), classes=3, size=8)
    x = nets.noise(1, 3, 8, 8, seed=19)
    gained = network.logits(x)[0] - network.logits(torch.zeros_like(x))[0]
    for steps, share in ((32, 2e-2), (400, 1e-3)):
        sums = maps(network, x, "integrated", 0, 1, 2, steps=steps).sum((1, 2, 3))
        assert float((sums - gained).abs().max()) <= share * float(gained.abs().max())


def test_smoothgrad_is_the_mean_over_noisy_copies(resnet18):
    x = nets.noise(1, 3, 64, 64, seed=17)
    question = Question(resnet18, resnet18.view(x), (1,), resnet18.last)

    def smooth(**options) -> Tensor:
        return list(METHODS["smoothgrad"].run(question, **options))[-1].values

    assert_close(smooth(samples=1, noise=0.0), maps(resnet18, x, "gradient", 1), 1e-6)
    first, again, other = smooth(samples=5), smooth(samples=5, batch=2), smooth(samples=5, seed=1)
    assert_close(first, again, 1e-4)  # the seed decides, not the batches
    assert (first - other).abs().max() > 0.05 * first.abs().max()


@pytest.mark.parametrize(("method", "count"), [("smoothgrad", "samples"), ("integrated", "steps")])
def test_slow_methods_grow_to_exactly_one_and_may_be_left(method, count, vgg16: Network):
    question = Question(vgg16, vgg16.view(nets.noise(1, 3, 64, 64, seed=18)), (1,), vgg16.last)
    done = [answer.done for answer in ask(question, method, **{count: 7})]
    assert len(done) == len(set(done)) >= 2
    assert done == sorted(done)
    assert done[-1] == 1
    left = ask(question, method, **{count: 9})
    assert next(left).done < 1
    left.close()
    assert next(ask(question, method, **{count: 9})).done < 1  # half an answer is not remembered
    with pytest.raises(OptionError, match="choose one in between"):
        next(ask(question, method, **{count: 501}))
