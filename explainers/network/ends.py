"""Is an answer probabilities already? What turned logits into them, by name or by hand, at the very
end or before a pooling."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import hardsigmoid
from torch.overrides import TorchFunctionMode

NAMES = {"softmax": "softmax", "softmin": "softmin", "log_softmax": "log-softmax"}
NAMES |= {"sigmoid": "sigmoid", "sigmoid_": "sigmoid", "logsigmoid": "log-sigmoid"}
NAMES |= {"special_expit": "sigmoid", "hardsigmoid": "sigmoid"}
LATEST = 16  # functions before the answer, whose values are looked at
HELD = 2**26  # bytes of their values that are kept at once
FEW = 8  # logits of which an answer may be one or some
POOLED = "what it makes of a "  # stands before the function's name where something follows on it
ROUNDED = "a rounding"
ROUNDS = {f"{name}{end}" for name in ("round", "floor", "ceil", "trunc") for end in ("", "_")}
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

    again: computes the same once more.
    """

    def __init__(self, again: Callable[[], Any]) -> None:
        super().__init__()
        self.again, self.calls, self.rounds = again, 0, False
        self.found, self.latest = _Latest(), _Latest(LATEST)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        called = getattr(func, "__name__", "")
        name, self.rounds = NAMES.get(called, ""), self.rounds or called in ROUNDS
        if _plain(out) and 0 < out.nbytes <= HELD:
            if name:
                self.found.add(self.calls, name, out)
            self.latest.add(self.calls, name, out)
        self.calls += 1
        return out

    def of(self, answer: Tensor) -> str:
        """The function whose values the answer's are, all of them or some; behind `POOLED` the one
        whose values the answer is made of; `ROUNDED`; or nothing."""
        if not _plain(answer) or not answer.any():
            return ""
        if self.rounds and any(_whole(answer * 10**places) for places in range(PLACES)):
            return ROUNDED
        same = (n for _, n, out in self.found.kept if torch.isin(answer, out.to(answer)).all())
        return next(same, "") or self._by_hand(answer) or self._pooled(answer)

    def _by_hand(self, answer: Tensor) -> str:
        """The function of something handed out before, at the same places or at one of few."""
        answer = answer.exp() if _logged(answer) else answer
        if not bool(((answer > 0) & (answer < 1)).all()):
            return ""
        for _, _, before in self.latest.kept:
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

    def _pooled(self, answer: Tensor) -> str:
        """The function that the answer is a probability by, whatever follows on it: a noisy-or, a
        maximum or a mean over places. Where all that it hands out is 0, and where all is 1, such an
        answer is one of the two, too."""
        plain = torch.exp if _logged(answer) else torch.clone
        if not _shares(plain(answer)):
            plain = _of_hundred
        if not _shares(plain(answer)):
            return ""
        for name, calls in self._candidates():
            none, every = (self._instead(calls, value) for value in (0.0, 1.0))
            if none is not None and every is not None:
                none, every = plain(none), plain(every)
                apart = _shares(none) and _shares(every) and (none - every).abs().min() > 1 - NEAR
                if apart:
                    return f"{POOLED}{name}"
        return ""

    def _candidates(self) -> Iterator[tuple[str, set[int]]]:
        """Functions that make probabilities, by name or by hand, and the calls of each."""
        named = [(call, name) for call, name, _ in self.found.kept]
        for name in dict.fromkeys(name for _, name in named):
            yield name, {call for call, each in named if each == name}
        if len(named) > 1:
            yield named[-1][1], {named[-1][0]}  # not where attention is paid, too
            yield named[-1][1], {call for call, _ in named}  # a class and its kinds
        by_hand = dict.fromkeys(self._hands())
        for call, name in by_hand:
            yield name, {call}
        for call, name in by_hand:  # a class and how sure that is
            yield name, {call, *(each for each, _ in named)}
        for (one, name), (other, _) in combinations(by_hand, 2):
            yield name, {one, other, *(each for each, _ in named)}

    def _hands(self) -> Iterator[tuple[int, str]]:
        """The calls whose values are probabilities made of others by hand, and by what."""
        for (_, _, before), (call, name, after) in combinations(self.latest.kept, 2):
            if before.shape == after.shape and not name and _shares(after):
                for made, end in _made_of(before):
                    if end.shape == after.shape and torch.allclose(end, after, 1e-5, 1e-7):
                        yield call, made

    def _instead(self, calls: set[int], value: float) -> Tensor | None:
        """The answer where those calls hand out nothing but that value."""
        with suppress(Exception), torch.no_grad(), _Instead(calls, value):
            found = self.again()
            return found if isinstance(found, Tensor) else None
        return None


class _Instead(TorchFunctionMode):
    """Lets some calls of functions hand out nothing but one value."""

    def __init__(self, calls: Iterable[int], value: float) -> None:
        super().__init__()
        self.calls, self.value, self.at = calls, value, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if self.at in self.calls:
            out.fill_(self.value)
        self.at += 1
        return out


def _plain(out: Any) -> bool:
    """Is it a tensor of floats, laid out as most are?"""
    return isinstance(out, Tensor) and out.is_floating_point() and out.layout == torch.strided


def _whole(values: Tensor) -> bool:
    """Are these whole numbers, but for what float32 loses?"""
    return bool(((values - values.round()).abs() <= 1e-6 * values.abs().clamp(min=1)).all())


def _of_hundred(answer: Tensor) -> Tensor:
    """What is said in percent, as shares."""
    return answer / 100


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
