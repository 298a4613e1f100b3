"""What must hold of a module before it is explained: one sentence where it does not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ExplainError, ModelError, reason, sized
from .doubled import doubled
from .ends import FORMS, LOGS, PERCENTS, ROUNDED, SHARES, Ends
from .layout import TALLER, WIDER, order, unsure
from .shapes import Uncomputed

SAME = 1e-3  # as a share of the logits' range


def check_module(module: object, title: str) -> None:
    """Raises ModelError unless it is a module of Python's own that holds weights."""
    if not isinstance(module, nn.Module):
        raise ModelError(f"{title} is no torch.nn.Module: build it first.")
    check_parts(module, title)
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        raise ModelError(f"{title} holds no weights yet, on the device “meta”: load them first.")


def check_parts(module: nn.Module, title: str) -> None:
    """Raises ModelError for parts that can't be looked into, or have no gradient."""
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            what = f"holds TorchScript ({name})" if name else "is TorchScript"
            raise ModelError(
                f"{title} {what}, whose layers can’t be looked into: hand over the nn.Module that "
                "it was made from."
            )
        if type(part).__module__.startswith("torch.") and ".quantized." in type(part).__module__:
            raise ModelError(
                f"{title} is quantized ({name or type(part).__name__}), and whole numbers have no "
                "gradient: hand over the module in float32 that it was made from."
            )


def check_weights(module: nn.Module, title: str) -> None:
    """Raises ModelError unless the weights are finite float32, but for complex and whole ones."""
    statistics = (pair for pair in module.named_buffers() if "running_" in pair[0])
    for name, value in (*module.named_parameters(), *statistics):
        floats = value.is_floating_point()
        if floats and value.dtype != torch.float32:
            raise ModelError(
                f"The weights of {title} are {str(value.dtype).removeprefix('torch.')}: hand over "
                "module.float(), or let wrap() make a copy."
            )
        if floats and value.numel() and not all(b.isfinite() for b in value.detach().aminmax()):
            raise ModelError(
                f"The weights of {title} hold NaN or infinite values (in {name}): take an earlier "
                "checkpoint."
            )


@torch.no_grad()
def tried(module: nn.Module, probe: Tensor, title: str) -> tuple[Any, Ends]:
    """What it answers to `probe` (1, C, H, W), and what turned logits into probabilities on the
    way. Raises ModelError where it fails."""
    try:
        with Ends(lambda: module(probe.clone())) as ends:
            answer = ends.again()
    except ExplainError:
        raise
    except Exception as error:
        raise ModelError(
            f"{title} fails on an input of {sized(probe.shape[1:])} "
            f"({reason(error) or type(error).__name__}): {_remedy(module, str(error))}."
        ) from error
    if ends.mapped:
        raise ModelError(
            f"{title} computes inside torch.vmap or another transform of torch.func, where nothing "
            "can be looked into: let its forward take the batch as it is, or loop."
        )
    return answer, ends


def _remedy(module: nn.Module, message: str) -> str:
    """What to do about a module that fails on a picture with that message."""
    has = {each for each in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
           if any(isinstance(part, each) for part in module.modules())}  # fmt: skip
    if nn.Conv3d in has:
        return VOLUMES
    if nn.Conv1d in has and nn.Conv2d not in has:
        return "it takes series (1-D convolutions), and maps are of pictures"
    if "expected input[" in message and "channels" in message:
        return "say how many channels it takes, by channels=… or a mean and a std for each"
    if "same dtype" in message or "should be the same" in message:
        return "it is computed in float32 here, so let its forward ask for no other type"
    return (
        "give the size that it was made for, or a module whose forward(x) takes pictures "
        "(N, C, H, W) alone"
    )


VOLUMES = (
    "it takes volumes (3-D convolutions), and maps are of pictures: wrap a module that takes one "
    "slice (N, C, H, W) and puts the others round it"
)


def first_answer(module: nn.Module, probe: Tensor, title: str) -> tuple[Tensor, str]:
    """The logits (1, classes) for `probe` (1, C, H, W), and the function that they are already
    probabilities by ("" for none). Raises ModelError for any other answer."""
    answer, ends = tried(module, probe, title)
    if not isinstance(answer, Tensor):
        kind, keys = type(answer).__name__, ""
        if isinstance(answer, dict):
            keys = f" of {', '.join(map(str, list(answer)[:4]))}"
        raise ModelError(
            f"{title} answers with a {kind}{keys} where one tensor of logits is needed: say "
            "wrap(module, output=…), which picks it out, or head=“none” to explain functions of it."
        )
    if answer.ndim != 2 or len(answer) != 1:
        raise ModelError(
            f"{title} answers one photo with {sized(answer.shape)} where 1 × classes is needed: "
            "say wrap(module, output=…), which makes one logit for each class of it."
        )
    if answer.is_complex() or answer.layout != torch.strided:
        kind = "complex numbers" if answer.is_complex() else "a sparse tensor"
        raise ModelError(f"{title} answers with {kind}: hand over real logits, none left out.")
    if not answer.is_floating_point():
        raise ModelError(
            f"{title} answers with whole numbers, such as the place of a class, where logits are "
            "needed: hand over what comes before that."
        )
    if not answer.numel():
        raise ModelError(f"{title} has no outputs: give its last layer at least one.")
    return answer, ends.of(answer) or _sums(
        answer, lambda: tried(module, probe.flip(3) / 2, title)[0]
    )


def _sums(answer: Tensor, other: Callable[[], Tensor]) -> str:
    """The form of an answer (1, classes) that always sums to 1 or 100: logits may by chance."""
    form = LOGS if bool((answer < 0).any()) else PERCENTS if answer.sum() > 2 else SHARES

    def to_one(found: Tensor) -> bool:
        return bool((FORMS[form](found).sum() - 1).abs() < 1e-4)

    return form if answer.shape[1] > 1 and to_one(answer) and to_one(other()) else ""


@torch.no_grad()
def check_order(module: nn.Module, probe: Tensor, answer: Tensor, title: str) -> None:
    """Raises ModelError for logits of places (1, h, w, classes)."""
    if not unsure(answer.shape):
        return
    larger, (_, channels, height, width) = None, probe.shape
    with suppress(Exception):  # made for one size
        larger = module(probe.new_zeros(1, channels, height + TALLER, width + WIDER))
    found = order(answer.shape, larger.shape if isinstance(larger, Tensor) else None, ())
    if found is not None and found.kind == "channels last":
        raise ModelError(
            f"{title} answers for each place with its classes last ({sized(answer.shape)}): say "
            "wrap(module, output=lambda y: y.movedim(-1, 1))."
        )


@contextmanager
def followed() -> Iterator[None]:
    """With gradients on. Raises ModelError for what then fails, though it answered without them."""
    try:
        with torch.enable_grad():
            yield
    except RuntimeError as error:
        first = re.split(r"(?<!\.)\. ", reason(error, 1000))[0]  # “out=... arguments” goes on
        raise ModelError(
            f"This network can’t be computed with gradients ({first[:140]}), which maps are made "
            "of: let it write over nothing that gradients need, such as a part that chunk, split "
            "or unbind gave it, and into no out=."
        ) from error


def check_answer(answer: Tensor, end: str, title: str, labels: Sequence[str], head: str) -> None:
    """Raises ModelError unless (1, classes) logits fit the labels and the head."""
    outputs = answer.shape[1]
    if outputs != len(labels):
        raise ModelError(
            f"{title} has {outputs} output{'s' * (outputs != 1)} and {len(labels)} "
            f"label{'s' * (len(labels) != 1)}: give one label for each output, in their order."
        )
    if not answer.isfinite().all():
        raise ModelError(f"{title} answers with NaN or infinite values: take another checkpoint.")
    check_end(end if head != "none" else "", title)
    if outputs == 1 and head == "softmax":
        raise ModelError(
            f"{title} has one output, which a softmax would always call certain: say "
            "head=“sigmoid”."
        )


def check_end(end: str, title: str) -> None:
    """Raises ModelError where an answer is probabilities by that function."""
    if end == ROUNDED:
        raise ModelError(
            f"{title} rounds its answer, which leaves no gradient: hand over what is rounded there."
        )
    if end in FORMS:
        what, p = PROBABLE[end]
        raise ModelError(
            f"{title} answers with {what}, whatever it sees, as means and products of "
            "probabilities are, and logits are needed: hand over what comes before, or say "
            f"wrap(module, output=lambda p: {p}.logit(1e-6), head=“sigmoid”)."
        )
    if end:
        raise ModelError(
            f"{title} ends in a {end} already, and its logits are needed: take that off."
        )


#: What an answer that is bounded is, and how to make probabilities p of it.
PROBABLE = {
    SHARES: ("numbers from 0 to 1", "p"),
    PERCENTS: ("numbers from 0 to 100", "(p / 100)"),
    LOGS: ("logarithms of numbers from 0 to 1", "p.exp()"),
}


def same(found: Tensor, logits: Tensor) -> bool:
    """Equal up to rounding; as a share of the range, since untrained logits may be tiny."""
    return bool((found - logits).abs().max() <= SAME * span(logits))


def span(logits: Tensor) -> Tensor:
    """The range of logits, or their size where that is next to nothing, or there is one only."""
    if logits.numel() == 1:
        return logits.abs().max()
    return torch.maximum(logits.max() - logits.min(), SAME * logits.abs().max())


def settle(
    module: nn.Module, probe: Tensor, title: str, labels: Sequence[str], head: str, photos: int = 1
) -> torch.memory_format:
    """Check a module's answer, and bring it to the memory format that serves it best.

    That is channels_last, unless the module reads its maps in the order of memory: then it fails
    there, maybe for several photos only, or answers otherwise. Raises ModelError.
    """
    before = _random_state(probe)
    answer, end = first_answer(module, probe, title)
    check_answer(answer, end, title, labels, head)
    if before != _random_state(probe):  # of whatever thread
        _check_steady(module, probe, title, answer, SAME / 1000)
    with suppress(RuntimeError), torch.no_grad():  # a `view` across places, weights of five axes
        module.to(memory_format=torch.channels_last)
        several = [probe.repeat(count, 1, 1, 1) for count in sorted({1, photos})]
        again = [module(x.contiguous(memory_format=torch.channels_last)) for x in several]
        if all(len(a) == len(x) and same(a, answer) for a, x in zip(again, several, strict=True)):
            return torch.channels_last
    module.to(memory_format=torch.contiguous_format)
    _check_steady(module, probe, title, answer, SAME)
    return torch.contiguous_format


def _random_state(probe: Tensor) -> list[bytes]:
    """Of the processor's generator and of the device's own: a module may draw from either."""
    found = [torch.get_rng_state()]
    if probe.is_cuda:
        found.append(torch.cuda.get_rng_state(probe.device))
    elif probe.is_mps:
        found.append(torch.mps.get_rng_state())
    return [state.numpy().tobytes() for state in found]


def _check_steady(
    module: nn.Module, probe: Tensor, title: str, answer: Tensor, share: float
) -> None:
    """Raises ModelError unless it answers once more as before, up to that share of the range."""
    if not (tried(module, probe, title)[0] - answer).abs().max() <= share * span(answer):
        raise ModelError(
            f"{title} answers the same photo differently each time, as with a dropout or an "
            "observer that eval() does not switch off: take that out."
        )


@torch.no_grad()
def check_alone(
    module: nn.Module, probe: Tensor, memory: torch.memory_format, title: str, most: int = 2
) -> dict[str, str]:
    """Raises ModelError unless photos are answered as they are alone when others are beside them,
    and after them.

    most: how many go through together. Returns what to say, by key, of a network for which that
    holds but for rounding.
    """
    alone = probe.contiguous(memory_format=memory)
    first, _ = tried(module, alone, title)  # as below: attention rounds otherwise in a mode
    gap = _gap(module, probe, memory, most)
    _check_steady(module, alone, title, first, SAME / 1000)
    if gap <= SAME:
        return {}
    if gap == math.inf or not _exactly_alone(module, probe, memory, most):
        raise not_alone(title)
    return {
        "rounding": f"Rounding alone moves the scores of {title} by {gap:.1%} of their range, as "
        "with weights that were never trained: its maps are no surer than that."
    }


def not_alone(title: str) -> ModelError:
    """What to raise where photos are not answered as they are alone."""
    return ModelError(
        f"{title} answers a photo otherwise when another one is beside it, as with a BatchNorm "
        "that keeps no statistics, or a reshape to one row: let it take photos (N, C, H, W), "
        "each by itself."
    )


def _gap(module: nn.Module, probe: Tensor, memory: torch.memory_format, most: int) -> float:
    """How far the answers to two photos move when the same one, the other one, or as many as there
    may ever be are beside them, as a share of the range; infinite for no answer of their own."""
    photos = torch.cat([probe, 2 * probe.flip(3) + 1])
    alone = torch.cat([module(each.clone(memory_format=memory)) for each in photos.split(1)])
    moved = 0.0
    for chosen in {(0, 1), (0, 0), tuple(index % 3 % 2 for index in range(max(2, most)))}:
        chosen = list(chosen)
        try:
            found = module(photos[chosen].contiguous(memory_format=memory))
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return math.inf
        if found.shape != alone[chosen].shape:
            return math.inf
        moved = max(moved, float((found - alone[chosen]).abs().max()))
    return moved and moved / float(span(alone[:1]))


def _exactly_alone(
    module: nn.Module, probe: Tensor, memory: torch.memory_format, most: int
) -> bool:
    """Is it rounding that moves the answer? In float64 it is not moved then."""
    try:
        exact, device = doubled(module)
        return _gap(exact, probe.to(device).double(), memory, most) <= SAME / 100
    except Exception:  # what can't be copied, or computes in float32 whatever it is given
        return False


def takes_any_size(logits: Callable[[Tensor], Tensor], probe: Tensor) -> bool:
    """Does a network answer for an input that is wider than its own size, as convolutions do, and
    can its places be told there? Some bring all inputs to one size within.

    logits: of an input, by a pass that records its last layer.
    """
    *_, height, width = probe.shape
    try:
        with torch.no_grad(), Uncomputed():
            wide = logits(probe.new_zeros(1, probe.shape[1], height, width + 32))
        return wide.ndim == 2 and len(wide) == 1
    except Exception:  # a flattened map that feeds a linear layer, a positional embedding, ...
        return False
