"""Does a map depend on what the network has learnt?

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3: the network's parameters
are randomised from the head down, each stage on top of those before, and each method is asked
again. A map that stays as it was shows the photo's edges, not what the network knows. All of this
happens to a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import ExplainError
from ..explanation import Explanation, Question
from ..network import Network
from ..registry import METHODS
from .agreement import rank_correlation

SEED = 0
_serials = itertools.count()


@dataclass(frozen=True)
class Similarity:
    """Rank correlation of a map with that of the trained network: signed, and of magnitudes."""

    signed: float
    magnitude: float


@dataclass(frozen=True)
class Stage:
    """All methods after one more part of the network was randomised.

    title: that part's name. index, count: stage 1 (the head) to count (everything is random).
    maps: method -> its map; similarity: method -> how like its original it is; absent: method ->
    why there is no map any more. done: share of its work that is in it.
    """

    title: str
    index: int
    count: int
    maps: dict[str, Explanation]
    similarity: dict[str, Similarity]
    absent: dict[str, str]
    done: float = 1.0


def similarity(a: Explanation, b: Explanation, row: int = 0) -> Similarity:
    """Of two maps of one method at one layer, at their own resolution."""
    a, b = a.values[row].nan_to_num(), b.values[row].nan_to_num()
    return Similarity(rank_correlation(a, b), rank_correlation(a.abs(), b.abs()))


def check(
    question: Question, originals: Sequence[Explanation], *, seed: int = SEED
) -> Iterator[Stage]:
    """Ask the methods of `originals` again while a copy of the network forgets, stage by stage.

    Yields each stage when its maps are there. One copy is held; the network itself is only read.
    """
    return (stage for stage in checking(question, originals, seed=seed) if stage.done >= 1)


def checking(
    question: Question, originals: Sequence[Explanation], *, seed: int = SEED
) -> Iterator[Stage]:
    """`check`, in steps: the stage under way comes again after each of them, fuller."""
    twin = question.network.twin()
    parts = stages(twin, question)
    generator = torch.Generator().manual_seed(seed)
    for index, (title, modules) in enumerate(parts, 1):
        for module in modules:
            randomise(module, generator)
        view = replace(question.view, key=f"{twin.serial}:random:{next(_serials)}")
        asked = replace(question, network=twin, view=view)
        stage = Stage(title, index, len(parts), {}, {}, {}, 0.0)
        for number, original in enumerate(originals):
            for share in _asked_again(asked, original, stage):
                stage = replace(stage, done=(number + share) / len(originals))
                yield stage


def _asked_again(asked: Question, original: Explanation, stage: Stage) -> Iterator[float]:
    """Puts the method's map into the stage; yields how much of that is done."""
    method = original.method
    try:
        for found in METHODS[method].run(asked, **original.options):
            if found.done < 1:
                yield found.done
    except ExplainError as error:
        stage.absent[method] = str(error)
    else:
        stage.maps[method] = found
        stage.similarity[method] = similarity(found, original)
    yield 1.0


def stages(network: Network, question: Question) -> list[tuple[str, list[nn.Module]]]:
    """Modules that hold parameters, in the order of the pass, cut behind each layer, head first."""
    met: list[nn.Module | str] = []

    def note(what: nn.Module | str):
        return lambda *_: met.append(what)

    holders = [m for m in network.module.modules() if any(True for _ in m.parameters(False))]
    hooks = [holder.register_forward_hook(note(holder)) for holder in holders]
    hooks += [
        network.module.get_submodule(n).register_forward_hook(note(n)) for n in network.layers
    ]
    try:
        network.logits(question.view.tensor)
    finally:
        for hook in hooks:
            hook.remove()
    parts: list[tuple[str, list[nn.Module]]] = []
    modules: list[nn.Module] = []
    for what in met:
        if isinstance(what, nn.Module):
            modules.append(what)
        elif modules:
            parts.append((network.layers[what].title.split(" · ")[0].split(", ")[0], modules))
            modules = []
    if modules:
        parts.append(("The head", modules))
    return parts[::-1]


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Forget a module's own parameters, at their own scale, so that signals neither die nor burst.

    Weights are drawn anew from a normal distribution with their mean and spread; a normalisation's
    channels are shuffled, its statistics with them.
    """
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    own = [each for each in own if each.ndim]  # not the counter of batches
    if all(each.ndim == 1 for each in own) and len({len(each) for each in own}) == 1:
        order = torch.randperm(len(own[0]), generator=generator, device="cpu")
        for each in own:
            each.copy_(each[order.to(each.device)])
        return
    for each in module.parameters(recurse=False):
        noise = torch.randn(each.shape, generator=generator, device="cpu").to(each)
        spread = each.std() if each.numel() > 1 else each.abs().mean()
        each.copy_(noise * spread + each.mean())
