"""A second device, "npu", in name: it computes on the processor, and is as strict as a GPU.

Importing this makes it known to torch for the whole process, before any gradient was computed:
torch starts a thread for each device's gradients then. Like CUDA, it refuses an operation on
tensors of two devices but for single numbers of the processor's and its indices, a generator of the
processor's, NumPy, and kernels that are the processor's own; like MPS, float64, where
`strict.doubles` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "npu"
aten = torch.ops.aten

#: doubles: is float64 to be had?
strict = SimpleNamespace(doubles=True)

#: Operations that bring values from one device to another.
ACROSS = {aten.copy_.default, aten._copy_from.default, aten._to_copy.default}
#: Those whose indices, the second argument, may lie on the processor.
INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
#: Those that take a single number of the processor's though they are not pointwise.
NUMBERED = {
    *INDEXED,
    aten.fill.Tensor,
    aten.fill_.Tensor,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
}
SPACES = ("aten", "torchvision", "prims")
FACTORIES = (
    "arange arange.start arange.start_step empty.memory_format empty_strided eye eye.m full "
    "linspace logspace ones rand rand.generator randint randint.low randint.generator "
    "randint.low_generator randn randn.generator randperm randperm.generator scalar_tensor zeros "
    "tril_indices triu_indices hann_window"
).split()


class _Module(SimpleNamespace):
    """What stands as `torch.npu`."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, _device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def manual_seed_all(self, _seed: int) -> None:
        pass

    def _is_in_bad_fork(self) -> bool:
        return False


class Held(Tensor):
    """A tensor of the second device, whose values lie in one of the processor's, `held`."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Held:
        if held.dtype == torch.float64 and not strict.doubles:
            raise TypeError(f"Cannot convert a tensor to float64: {NAME} has none.")
        held = held.resolve_conj().resolve_neg()  # of which a wrapper would not know
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            held.stride(),
            held.storage_offset(),
            dtype=held.dtype,
            device=f"{NAME}:0",
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"{NAME}: {self.held!r}"

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy.")
        return self.detach().cpu().numpy()

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.held.tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def as_subclass(self, cls: type) -> Tensor:
        return self if cls is Tensor else super().as_subclass(cls)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        Tensor.data.__set__(self, other)
        self.held = other.held

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError("Only leaves can be copied deeply.")
            memo[id(self)] = _again(self.held.clone(), self.requires_grad, _is_parameter(self))
        return memo[id(self)]

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return _again, (self.held.detach(), self.requires_grad, _is_parameter(self))


def _is_parameter(tensor: Tensor) -> bool:
    return isinstance(tensor, torch.nn.Parameter)


def _again(held: Tensor, requires_grad: bool, parameter: bool) -> Held:
    made = Held(held)
    if parameter:
        return torch.nn.Parameter(made, requires_grad)
    return made.requires_grad_(requires_grad)


def _unheld(value: Any) -> Any:
    return value.held if isinstance(value, Held) else value


# Of tuples, lists and dictionaries, as operations take them; torch's own trees take ten times as
# long, for each of thousands of operations.
def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)([_mapped(change, each) for each in value])
    if isinstance(value, dict):
        return {name: _mapped(change, each) for name, each in value.items()}
    return change(value)


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    _check(func, args, kwargs)
    if func is aten._fused_sdp_choice.default:
        return 0  # by plain products, as where a device has nothing better
    leaves = list(_tensors((args, kwargs)))
    known = {id(_unheld(each)): each for each in leaves}
    forms = [(each, each.shape, each.stride()) for each in leaves if isinstance(each, Held)]
    away = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
    args, kwargs = _mapped(_unheld, (args, kwargs))
    if kwargs.get("device") is not None:
        kwargs["device"] = "cpu"
    with torch._C._DisableAutocast():  # of the processor's own
        found = func(*args, **kwargs)
    for each, *form in forms:
        if [each.held.shape, each.held.stride()] != form:  # as as_strided_ changes it
            Tensor.data.__set__(each, Held(each.held))

    def handed(value: Any) -> Any:
        if not isinstance(value, Tensor) or away:
            return value
        return known[id(value)] if id(value) in known else Held(value)

    return _mapped(handed, found)


def _check(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raises what CUDA raises."""
    name = func._schema.name
    if name.partition("::")[0] not in SPACES or "mkldnn" in name or "for_cpu" in name:
        raise NotImplementedError(f"Could not run {name} with arguments from the {NAME} backend.")
    _check_generator(kwargs)
    if func in ACROSS:
        return
    if func in INDEXED:
        if not isinstance(args[0], Held) and any(isinstance(each, Held) for each in args[1]):
            raise RuntimeError("The indices should be on the cpu, as the indexed tensor is.")
        args = (args[0], *args[2:])
    tensors = list(_tensors((args, kwargs)))
    strangers = [each for each in tensors if not isinstance(each, Held)]
    if not strangers or len(strangers) == len(tensors):
        return
    alone = torch.Tag.pointwise in func.tags or func in NUMBERED
    written = name.endswith("_") and not isinstance(tensors[0], Held)
    if written or not alone or any(each.ndim for each in strangers):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{NAME}:0 and cpu! ({name})"
        )


def _check_generator(kwargs: dict[str, Any]) -> None:
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type == "cpu":
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'.")


def _factory(op: Any) -> Callable[..., Tensor]:
    def made(*args: Any, **kwargs: Any) -> Tensor:
        _check_generator(kwargs)
        return Held(op(*args, **{**kwargs, "device": "cpu", "pin_memory": None}))

    return made


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _unheld(target).copy_(_unheld(source))
    return target


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
_library = torch.library.Library("aten", "IMPL")  # its kernels go when it does
for _name in FACTORIES:
    _packet, _, _overload = _name.partition(".")
    _library.impl(
        _name, _factory(getattr(getattr(aten, _packet), _overload or "default")), "PrivateUse1"
    )
_library.impl("_copy_from", _copy_from, "PrivateUse1")
