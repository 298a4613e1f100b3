"""What is explained is a copy of the module: what can be copied, and what is told else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explainers import ModelError, explain, wrap
from tests.test_own_forms import HOW, PHOTO, Form, plain, trunk


def test_what_a_module_keeps_of_its_last_pass_does_not_hinder_its_copy():
    def run(m: Any, x: Tensor) -> Tensor:
        m.seen = {"maps": [m.trunk(x)]}
        return m.head(m.seen["maps"][0].mean((2, 3)))

    module = Form(run, trunk=trunk(), head=nn.Linear(6, 3))
    module(torch.zeros(2, 3, 32, 32))
    assert explain(wrap(module, **HOW), PHOTO, 1).values.shape == (1, 8, 8)


def lambda_for_forward() -> nn.Module:
    module = plain()
    forward = module.forward
    module.forward = lambda x: 2 * forward(x)
    return module


def lambda_for_a_block() -> nn.Module:
    module = Form(lambda m, x: m.head(m.block(x).mean((2, 3))), head=nn.Linear(6, 3), t=trunk())
    module.block = lambda x: module.t(x)
    return module


def compiled_forward() -> nn.Module:
    module = plain()
    for part in (module, module.head):  # torch wraps its own layers once more
        part.forward = torch.compile(part.forward, backend="eager")
    return module


@pytest.mark.parametrize("make", [lambda_for_forward, lambda_for_a_block])
def test_a_copy_that_would_compute_with_the_module_itself_is_told_and_leaves_it_alone(make):
    module = make().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ModelError, match="function that computes with the module itself, such"):
        wrap(module, **HOW)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert explain(wrap(module, copy=False, **HOW), PHOTO, 1).values.std() > 0


def test_a_compiled_forward_is_copied_as_it_was_before():
    module = compiled_forward()
    found = explain(wrap(module, **HOW), PHOTO, 1)
    assert module.training
    with pytest.raises(ModelError, match=r"is compiled \(forward\), and can’t be looked into so"):
        wrap(module, copy=False, **HOW)
    del module.forward, module.head.forward
    assert torch.equal(explain(wrap(module, **HOW), PHOTO, 1).logits, found.logits)
