"""The tabs, in the order of a visitor's curiosity."""

from . import activations, cards, compare, filters, impressions, maps, muting, patches

TABS = (
    maps.TAB,
    muting.TAB,
    activations.TAB,
    cards.TAB,
    filters.TAB,
    impressions.TAB,
    compare.TAB,
    patches.TAB,
)
