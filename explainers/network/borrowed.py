"""Somebody's module, taken as it comes and left as it was: its wrappers off, a copy, its kind."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from ..errors import ModelError
from .door import VOLUMES, check_parts

#: What switches on that parts are computed again on the way back, in timm, Transformers,
#: torchvision's DenseNet and Swin's own code: the same values, and no second look at them.
CHECKPOINTS = {"grad_checkpointing", "gradient_checkpointing", "memory_efficient", "use_checkpoint"}

QUANTIZATION = "ao.quantization"  # torch's, and torchao's

ENDS = {nn.Softmax: "softmax", nn.LogSoftmax: "log-softmax", nn.Sigmoid: "sigmoid"}


def bare(module: nn.Module) -> nn.Module:
    """Without the wrappers of torch.compile, DataParallel and DistributedDataParallel."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod
        else:
            return module


def check_kind(module: object, title: str) -> None:
    """Raises ModelError, which says what is possible, for what is no module that takes a picture
    alone and can be looked into."""
    if _is_flat(module) or isinstance(module, torch.export.ExportedProgram):
        raise ModelError(
            f"{title} is an exported program, whose layers can’t be looked into: hand over the "
            "nn.Module that it was exported from."
        )
    if not isinstance(module, nn.Module):
        raise ModelError("What is wrapped is a torch.nn.Module: build it first.")
    check_parts(module, title)
    kinds = {type(part) for part in module.modules()}
    if any(issubclass(kind, nn.Conv3d) for kind in kinds) and not any(
        issubclass(kind, nn.Conv2d) for kind in kinds
    ):
        raise ModelError(f"{title} can’t be explained: {VOLUMES}.")
    _check_inputs(module, title)
    _check_weights(module, title)


def _is_flat(module: object) -> bool:
    """Is it a graph that calls functions only, as an exported program's module does?"""
    if not isinstance(module, torch.fx.GraphModule):
        return False
    called = [each.target for each in module.graph.nodes if each.op == "call_module"]
    return not any(list(module.get_submodule(name).parameters()) for name in called)


def _check_inputs(module: nn.Module, title: str) -> None:
    try:
        takes = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    if takes and all(each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in takes):
        raise ModelError(
            f"{title} takes its picture by name alone ({next(iter(takes)).name}=…): wrap a module "
            "whose forward(x) hands it on."
        )
    needed = [
        each.name
        for each in takes
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise ModelError(
            f"{title} takes several inputs ({', '.join(needed)}): wrap a module that takes the "
            "picture alone and holds the others fixed."
        )


def _check_weights(module: nn.Module, title: str) -> None:
    parameters = list(module.parameters())
    if any(is_lazy(each) for each in (*parameters, *module.buffers())):
        raise ModelError(
            f"{title} has lazy layers that saw no input yet: pass one batch through it first."
        )
    if not parameters:
        raise ModelError(f"{title} has no weights, so there is nothing to explain.")
    places = {str(each.device) for each in parameters}
    if len(places) > 1 or "meta" in places:
        where = " and ".join(sorted(places))
        raise ModelError(f"The weights of {title} lie on {where}: bring all to one real device.")


def check_open(module: nn.Module, title: str) -> None:
    """Raises ModelError for parts that torch.compile turned into something else, and for weights
    that no gradient can be followed past."""
    if any(each.is_inference() for each in module.parameters()):
        raise ModelError(
            f"The weights of {title} were made under inference_mode, so no gradient can be "
            "followed past them: let wrap() make a copy."
        )
    for name, part in module.named_modules():
        forward = vars(part).get("forward")
        if (
            hasattr(forward, "_torchdynamo_orig_callable")
            or part._compiled_call_impl is not None
            or hasattr(part, "_orig_mod")
        ):
            raise ModelError(
                f"{title} is compiled ({name or 'forward'}), and can’t be looked into so: hand "
                "over what torch.compile was given, or let wrap() make a copy of that."
            )


@torch.inference_mode(False)
@torch.no_grad()
def copied(module: nn.Module, title: str) -> tuple[nn.Module, dict[str, str]]:
    """A copy in float32 whose parts call back to nobody, and what to know of it by key."""
    try:
        made = copy.deepcopy(module, computed(module))
    except Exception as error:
        raise ModelError(
            f"{title} can’t be copied: wrap() it with copy=False, if it is yours to freeze."
        ) from error
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if bare(child) is not child:
                setattr(parent, name, bare(child))
    for part in made.modules():
        for name in CHECKPOINTS & vars(part).keys():
            setattr(part, name, False)
        forward = vars(part).get("forward")
        if hasattr(forward, "_torchdynamo_orig_callable"):
            compiled = inspect.unwrap(forward, stop=inspect.ismethod)
            if getattr(compiled, "__func__", None) is type(part).forward:
                del part.forward  # torch.compile(module.forward) calls the original
    remarks = {}
    if _stilled(made):
        remarks["observers"] = (
            f"{title} is prepared for quantization: its ranges stay as they are on its copy, and "
            "what it is when converted to whole numbers may answer a little otherwise."
        )
    if left := sum(_let_go(part) for part in made.modules()):
        remarks["hooks"] = (
            f"{left} hook{'s' * (left != 1)} of {title} {'were' if left != 1 else 'was'} left off "
            "its copy: if they change what it computes, wrap it with copy=False."
        )
    values = (*made.parameters(), *made.buffers())
    kinds = {str(each.dtype).removeprefix("torch.") for each in values if each.is_floating_point()}
    if kinds - {"float32"}:
        before = " and ".join(sorted(kinds - {"float32"}))
        remarks["float32"] = (
            f"{title} is {before}, and computed in float32 here: its scores may differ a little "
            "from its own."
        )
    return made.float(), remarks


def computed(module: nn.Module) -> dict[int, Tensor]:
    """What deepcopy refuses, id -> what stands for it: tensors that were computed from weights, as
    weight_norm keeps them, and as modules keep what they saw last."""
    values = (value for part in module.modules() for value in tree_leaves(vars(part)))
    made = (each for each in values if isinstance(each, Tensor) and not each.is_leaf)
    return {id(each): each.detach().clone() for each in made}


class Apart(TorchFunctionMode):
    """While it is entered, a copy that computes with weights of its original is told of before it
    does: functions that hold the original, such as a lambda in the place of forward, are copied as
    they are."""

    def __init__(self, original: nn.Module, title: str) -> None:
        super().__init__()
        self.title = title
        self.theirs = {id(each) for each in (*original.parameters(), *original.buffers())}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if any(id(each) in self.theirs for each in (*args, *(kwargs or {}).values())):
            raise ModelError(
                f"{self.title} holds a function that computes with the module itself, such as a "
                "lambda in the place of forward, also in its copy: make that a method, or give "
                "copy=False and a module that is yours to freeze."
            )
        return func(*args, **(kwargs or {}))


def _stilled(module: nn.Module) -> bool:
    """Switch off what goes on learning ranges for quantization from every input, also in eval mode;
    was there any?"""
    observers = [part for part in module.modules() if hasattr(part, "calculate_qparams")]
    fake = [part for part in observers if hasattr(part, "disable_observer")]
    for part in fake:
        if _has_seen(part):  # else it would answer by no ranges at all
            part.disable_observer()
    within = {each for part in fake for each in part.modules()}
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if parent not in within and child in observers and child not in within:
                setattr(parent, name, nn.Identity())  # it hands on what it is given
    return bool(observers)


def _has_seen(observer: nn.Module) -> bool:
    """Does it know ranges? Else they are infinite, or there are none."""
    bounds = getattr(getattr(observer, "activation_post_process", observer), "min_val", None)
    return bounds is None or bool(bounds.numel() and bounds.isfinite().all())


def _let_go(part: nn.Module) -> int:
    """Take off the hooks that are not torch's own, as those of weight_norm and of quantization are;
    how many they were."""
    count = 0
    for hooks in (part._forward_hooks, part._forward_pre_hooks):
        for key, hook in list(hooks.items()):
            mine = type(hook).__module__, getattr(hook, "__module__", "")
            if not (mine[0].startswith("torch") or QUANTIZATION in str(mine[1])):
                del hooks[key]
                count += 1
    part._backward_hooks.clear()
    part._backward_pre_hooks.clear()
    return count


def _as_it_is(module: nn.Module) -> Callable[[], None]:
    """What brings a module back to the modes and wishes for gradients that it has now."""
    modes = [(part, part.training) for part in module.modules()]
    wants = [(each, each.requires_grad) for each in module.parameters()]

    def back() -> None:
        for part, mode in modes:
            part.training = mode
        for each, wanted in wants:
            each.requires_grad_(wanted)

    return back


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In eval mode, and afterwards in the modes that its parts were in."""
    back = _as_it_is(module)
    module.eval()
    try:
        yield
    finally:
        back()


@contextmanager
def undone_on_failure(module: nn.Module) -> Iterator[list[RemovableHandle]]:
    """For what is done to a module: if it fails, the hooks that were put into the list come off,
    and the module is as it was."""
    handles: list[RemovableHandle] = []
    back = _as_it_is(module)
    try:
        yield handles
    except BaseException:
        for handle in handles:
            handle.remove()
        back()
        raise


def without_end(module: nn.Module, probe: Tensor) -> str:
    """Take the softmax or sigmoid off that a module ends in, if that is a part of it.

    Only for a copy of one's own, in eval mode. Returns which it was, or nothing.
    """
    handed: list[tuple[nn.Module, Tensor]] = []
    ends = [part for part in module.modules() if type(part) in ENDS]
    handles = [
        part.register_forward_hook(lambda part, _inputs, out: handed.append((part, out)))
        for part in ends
    ]
    try:
        with torch.no_grad():
            answer = module(probe.clone())
    except Exception:  # told elsewhere
        return ""
    finally:
        for handle in handles:
            handle.remove()
    last = [part for part, out in handed if isinstance(answer, Tensor) and _same(out, answer)]
    uses = sum(part is end for part, _ in handed for end in last[:1])
    if len(last) != 1 or uses != 1:
        return ""
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if child is last[0]:
                setattr(parent, name, nn.Identity())
                return ENDS[type(last[0])]
    return ""


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()
