"""A network’s filters: the numbers that slide over the photo, before it has seen any."""

from .kernels import (
    SPECTRUM,
    Conv,
    Order,
    Parts,
    check,
    convolutions,
    first_input,
    half,
    order,
    response,
    separate,
    slices,
    spectrum,
    tuning,
    weights,
)

__all__ = [
    "SPECTRUM",
    "Conv",
    "Order",
    "Parts",
    "check",
    "convolutions",
    "first_input",
    "half",
    "order",
    "response",
    "separate",
    "slices",
    "spectrum",
    "tuning",
    "weights",
]
