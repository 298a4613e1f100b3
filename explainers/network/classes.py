"""What a network's outputs mean: classes by number or name, probabilities, what is present."""

from __future__ import annotations

import difflib
import operator
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import TargetError
from .recipe import Head


class Answers:
    """How logits are read: by labels, head and thresholds."""

    title: str
    labels: tuple[str, ...]
    head: Head
    thresholds: tuple[float, ...]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of logits (…, classes): softmax over the classes, a sigmoid each for a multi-label
        network, or the same values where they are no logits."""
        if self.head == "none":
            return logits
        return logits.softmax(-1) if self.head == "softmax" else logits.sigmoid()

    def present(self, logits: Tensor) -> list[int]:
        """The classes in logits (classes,) that a multi-label network sees, surest first.

        Surest: farthest above its own threshold. Always empty for another head.
        """
        if self.head != "sigmoid":
            return []
        chances = self.probabilities(logits.detach().cpu())
        above = chances.logit() - torch.tensor(self.thresholds, device="cpu").logit()
        by, order = above.tolist(), above.argsort(descending=True).tolist()
        return [index for index in order if by[index] >= 0]

    @staticmethod
    def ranked(logits: Tensor, count: int) -> list[int]:
        """The `count` likeliest classes in logits (classes,), likeliest first."""
        return logits.topk(min(count, len(logits))).indices.tolist()

    def resolve(self, target: int | str) -> int:
        """The index of a class given by index or name; raises TargetError with near names."""
        return find_class(target, self.labels, self.title)


def find_class(target: int | str, labels: Sequence[str], title: str) -> int:
    """Its index in `labels`; raises TargetError with near names, or where a name is several's."""
    if not isinstance(target, str):
        try:
            index = operator.index(target)  # whole numbers of numpy's and torch's, too
        except TypeError:
            index = -1
        if 0 <= index < len(labels) and not isinstance(target, bool | np.bool_):
            return index
        raise TargetError(
            f"A class of {title} is given by its name or a whole number from 0 to "
            f"{len(labels) - 1}."
        )
    wanted = target.strip()
    for name in (wanted, wanted.partition(",")[0]):  # ImageNet's own names list synonyms
        found = named(name, labels)
        if len(found) > 1:
            raise TargetError(
                f"{title} has several classes called “{name[:60]}”: give the number, one of "
                f"{', '.join(map(str, found[:5]))}."
            )
        if found:
            return found[0]
    names, wanted = [label.casefold() for label in labels], wanted.casefold()
    near = [name for name in names if wanted and wanted in name][:3]
    near = near or difflib.get_close_matches(wanted, names, 3)
    hint = f"try {' or '.join(f'“{name}”' for name in near)}" if near else "try another name"
    raise TargetError(f"{title} knows no class “{target[:60]}”: {hint}.")


def named(name: str, labels: Sequence[str]) -> list[int]:
    """The classes of exactly that name, else those of it whatever its case; an accent may be a
    letter's or a sign of its own, as in the names of a Mac's folders."""
    name = _composed(name.strip())
    folded = [i for i, label in enumerate(labels) if _folded(label) == _folded(name)]
    return [i for i in folded if _composed(labels[i]) == name] or folded


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())
