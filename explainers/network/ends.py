"""Is an answer probabilities already? What turned logits into them at the very end, by name or by
hand, or that it never leaves 0 to 1, whatever the layers hand on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn.functional import hardsigmoid
from torch.overrides import TorchFunctionMode

NAMES = {"softmax": "softmax", "softmin": "softmin", "log_softmax": "log-softmax"}
NAMES |= {"sigmoid": "sigmoid", "sigmoid_": "sigmoid", "logsigmoid": "log-sigmoid"}
NAMES |= {"special_expit": "sigmoid", "hardsigmoid": "sigmoid"}
LATEST = 16  # functions before the answer, whose values are looked at
HELD = 2**26  # bytes of their values that are kept at once
FEW = 8  # logits of which an answer may be one or some
SHARES, PERCENTS, LOGS = "shares", "percents", "logarithms"  # of an answer that is bounded
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    SHARES: torch.clone, PERCENTS: lambda answer: answer / 100, LOGS: torch.exp
}  # fmt: skip
#: What layers are let hand on: of 30 float32 holds the exponential, and 1e6 outweighs any scale.
LEVELS = ((30, 30), (-30, -30), (-30, 30), (-3, 3), (0, 1), (1e6, 1e6), (-1e6, -1e6), (-1e6, 1e6))
LAYERS = {"linear", "conv1d", "conv2d", "conv_transpose2d"}
PRODUCTS = {"addmm", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum", "tensordot"}
ROUNDED = "a rounding"
ROUNDS = {f"{name}{end}" for name in ("round", "floor", "ceil", "trunc") for end in ("", "_")}
LOGARITHMS = {f"{name}{end}" for name in ("log", "log1p", "logsumexp") for end in ("", "_")}
PLACES = 5  # behind the point of a number are what nobody rounds to
NEAR = 1e-3  # of a probability


class _Latest:
    """The latest values, as many as there is room for."""

    def __init__(self, most: int | None = None) -> None:
        self.kept: deque[tuple[int, str, Tensor]] = deque()
        self.most, self.bytes = most, 0

    def add(self, call: int, name: str, value: Tensor) -> None:
        """The values of the function that was called as number `call`."""
        self.kept.append((call, name, value.detach().clone()))  # what follows may work in place
        self.bytes += value.nbytes
        while self.bytes > HELD or (self.most and len(self.kept) > self.most):
            self.bytes -= self.kept.popleft()[2].nbytes


class Ends(TorchFunctionMode):
    """Notes what each function hands out that turns logits into probabilities, and what the last
    ones handed out whatever they are: 1 / (1 + exp(-x)) is a sigmoid, too.

    again: computes the same once more. mapped: was any of it computed inside torch.vmap or the
    like, whose values are nobody else's?
    """

    def __init__(self, again: Callable[[], Any]) -> None:
        super().__init__()
        self.again, self.calls, self.rounds, self.logs = again, 0, False, False
        self.mapped = False
        self.found, self.latest = _Latest(), _Latest(LATEST)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        called = getattr(func, "__name__", "")
        name, self.rounds = NAMES.get(called, ""), self.rounds or called in ROUNDS
        self.logs = self.logs or called in LOGARITHMS
        inside = _plain(out) and is_functorch_wrapped_tensor(out)
        self.mapped |= inside
        if _plain(out) and not inside and 0 < out.nbytes <= HELD:
            if name:
                self.found.add(self.calls, name, out)
            self.latest.add(self.calls, name, out)
        self.calls += 1
        return out

    def of(self, answer: Tensor) -> str:
        """The function whose values the answer's are, all of them or some; one of `FORMS` where the
        answer stays probabilities, however it is made; `ROUNDED`; or nothing."""
        if not _plain(answer):
            return ""
        if not answer.any():  # such as behind a gate that is shut
            return self._bounded(answer)
        if self.rounds and any(_whole(answer * 10**places) for places in range(PLACES)):
            return ROUNDED
        same = (n for _, n, out in self.found.kept if torch.isin(answer, out.to(answer)).all())
        ends = (self._by_hand(answer), self._by_hand(answer / 100), self._bounded(answer))
        return next(same, "") or next(filter(None, ends), "")

    def _by_hand(self, answer: Tensor) -> str:
        """The function of something handed out before, at the same places or at one of few."""
        answer = answer.exp() if _logged(answer) else answer
        if not bool(((answer > 0) & (answer < 1)).all()):
            return ""
        for _, _, before in self.latest.kept:
            if before.shape == answer.shape and torch.equal(before.to(answer).exp(), answer):
                continue  # a softmax of logarithms of shares is these shares
            for name, end in _made_of(before.to(answer)):
                if end.shape[1:] == answer.shape[1:] and end.numel() == answer.numel():
                    same = torch.isclose(end.reshape(answer.shape), answer, 1e-5, 1e-7)
                elif answer.numel() < end.numel() <= FEW:
                    same = torch.isclose(end.flatten(), answer.reshape(-1, 1), 1e-5, 0).any(1)
                else:
                    continue
                if same.all():
                    return name
        return ""

    def _bounded(self, answer: Tensor) -> str:
        """The form, one of `FORMS`, of an answer that stays probabilities however large what the
        layers hand on is."""
        answers: list[Tensor] = []
        forms = dict(FORMS)
        for levels in (None, *LEVELS):
            found = self._wild(*levels, answer) if levels else answer
            if found is None:
                continue
            answers.append(found)
            forms = {form: plain for form, plain in forms.items() if _shares(plain(found))}
            if not forms:  # as a rule at once: each level is one more pass of the network
                return ""
        for form, plain in forms.items():
            found = plain(torch.stack(answers))
            moved = bool((found.amax(0) - found.amin(0)).max() > NEAR)
            if form == LOGS:  # what is never above 0 need not be one, as a distance times -1
                moved = self.logs and bool((found > 1 - NEAR).any() and (found < NEAR).any())
            if moved:
                return form
        return ""

    def _wild(self, low: float, high: float, answer: Tensor) -> Tensor | None:
        """The answer where all layers hand on numbers between these, None if it is no number."""
        with suppress(Exception), torch.no_grad(), _Wild(low, high):
            found = self.again()
            return found if found.shape == answer.shape and found.isfinite().all() else None
        return None


class _Wild(TorchFunctionMode):
    """Puts numbers drawn for each channel in the place of what weights make of their input."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.generator = torch.Generator().manual_seed(0)
        self.drawn: dict[tuple[int, int], Tensor] = {}  # by weights: a layer may be asked twice

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out, name = func(*args, **kwargs), getattr(func, "__name__", "")
        weights = _weights(name, args, kwargs) if _plain(out) and out.ndim > 1 else None
        if weights is not None:
            across = out.movedim(1, -1) if name.startswith("conv") else out
            key = weights.data_ptr(), across.shape[-1]
            if key not in self.drawn:
                self.drawn[key] = torch.rand(key[1], generator=self.generator, device="cpu")
            across.copy_(self.low + (self.high - self.low) * self.drawn[key])
        return out


def _weights(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The weights that a function multiplies by, None if it does not, or averages by them."""
    if name in LAYERS:
        found = kwargs["weight"] if "weight" in kwargs else args[1]
        weighs = (found < 0).any() or (found.flatten(1).sum(1) > 1 + NEAR).any()
        return found if weighs else None
    if name in PRODUCTS:
        given = (*args, *kwargs.values())
        return next((each for each in given if isinstance(each, Tensor) and _parameter(each)), None)
    return None


def _parameter(value: Tensor) -> bool:
    """Is it one, or a view of one, as when it is transposed?"""
    return isinstance(value, nn.Parameter) or isinstance(value._base, nn.Parameter)


def _plain(out: Any) -> bool:
    """Is it a tensor of floats, laid out as most are?"""
    return isinstance(out, Tensor) and out.is_floating_point() and out.layout == torch.strided


def _whole(values: Tensor) -> bool:
    """Are these whole numbers, but for what float32 loses?"""
    return bool(((values - values.round()).abs() <= 1e-6 * values.abs().clamp(min=1)).all())


def _logged(answer: Tensor) -> bool:
    """May these be logarithms of probabilities, as of a log-sigmoid?"""
    return bool((answer < 0).all())


def _shares(values: Tensor) -> bool:
    """Do all of them lie between 0 and 1, or nearly so?"""
    return bool(((values >= -NEAR) & (values <= 1 + NEAR)).all())


def _made_of(logits: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Probabilities that may be made of these logits."""
    yield "sigmoid", logits.sigmoid()
    yield "sigmoid", (-logits).sigmoid()
    yield "sigmoid", (2 * logits).sigmoid()  # by tanh
    yield "sigmoid", hardsigmoid(logits)  # by ReLU6
    if logits.ndim == 4:
        yield "sigmoid", logits.sigmoid().mean((2, 3))
    if logits.ndim == 2 and logits.shape[1] > 1:
        yield "softmax", logits.softmax(1)
