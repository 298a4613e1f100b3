"""What a network does in one pass: its modules, its functions, and where its gradient goes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .calls import Calls, Outputs, idle
from .cuts import behind, compares, cuts, says_its_own, unseen
from .door import followed
from .swaps import LEAN, Clamp, Overwritten, Swapped, rectified_to, relus

LARGE = 2**23  # bytes of a module's output from which on its shape has to do
NONLINEARITIES = frozenset(
    "relu relu_ relu6 hardtanh hardtanh_ silu gelu hardswish leaky_relu leaky_relu_ elu elu_ celu "
    "selu mish prelu rrelu softplus logsigmoid tanhshrink softsign".split()
)

ATTENTION = frozenset("scaled_dot_product_attention multi_head_attention_forward softmax".split())
PRODUCTS = frozenset("linear conv2d matmul mm addmm __matmul__ __rmatmul__".split())


class Functions(TorchFunctionMode):
    """Notes the name of every activation function that is called, and the last products."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attends = self.convolves = self.cuts = False
        self.products: deque[tuple[Any, ...]] = deque(maxlen=4)  # the last ones: the head's

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, named = getattr(func, "__name__", "").partition(".")[0], kwargs or {}
        self.cuts |= cuts(func, (*args, *named.values()))
        x = args[0] if args else named.get("input")
        passed = getattr(x, "requires_grad", True)  # by a gradient; else it is no activation of one
        if passed and name in NONLINEARITIES:
            name = name.rstrip("_")
            low = args[1] if len(args) > 1 else named.get("min_val", -1)
            self.names.add(f"{name} from {low:g}" if name == "hardtanh" and low != 0 else name)
        elif passed and rectified_to(func, args[1:], named) is not None:
            self.names.add("relu")
        elif compares(func, (*args, *named.values())):
            self.names.add(f"comparisons ({name.strip('_')})")
        elif name in PRODUCTS:
            self.products.append((*args, *named.values()))
        self.attends |= name in ATTENTION
        self.convolves |= name == "conv2d"
        return func(*args, **named)


@dataclass(frozen=True)
class Watched:
    """What one pass showed. logits: without their graph. outputs: of all modules, call by call;
    idle: places in that list which do not count; aside: those on no way to the logits, as of
    another head. functions: what was called. cuts: may values have passed where a gradient does
    not? overwrites: as in `Network`."""

    logits: Tensor
    outputs: Outputs
    idle: set[int]
    aside: set[int]
    functions: Functions
    cuts: bool
    overwrites: bool


def watch(module: nn.Module, probe: Tensor) -> Watched:
    """A pass of `probe` (1, C, H, W) with gradients. Raises ModelError where there can be none."""
    overwritten = Overwritten()
    with (
        followed(),
        Calls(module, most=LARGE) as calls,
        overwritten,
        Swapped(LEAN | relus(Clamp)),
        Functions() as functions,
    ):
        logits = module(probe.clone().requires_grad_().clone())
        nodes = list(behind(logits))
        cut = functions.cuts or any(map(says_its_own, nodes))
        functions.names.update(filter(None, map(unseen, nodes)))
        left = idle(logits, calls.outputs)  # a backward pass, in which it sees more cuts
    way = set(nodes)
    aside = {place for place, node in enumerate(calls.nodes) if node and node not in way}
    return Watched(logits.detach(), calls.outputs, left, aside, functions, cut, bool(overwritten))
