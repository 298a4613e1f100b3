"""A seeded share of what `benchmarks/random_calls.py` asks by the thousand."""

from __future__ import annotations

import random

import pytest

from explainers import Explanation
from tests import calls


@pytest.mark.slow
@pytest.mark.parametrize("lot", range(4))
def test_every_call_comes_to_a_map_or_to_one_sentence(lot) -> None:
    came = []
    for number in range(40):
        call = calls.draw(random.Random(f"share:{lot}:{number}"))
        try:
            came.append(calls.answer(call))
        except Exception as error:
            raise AssertionError(f"call {number}: {call}") from error
    maps = sum(isinstance(each, Explanation) for each in came)
    assert 10 <= maps <= 35  # neither kind crowds out the other
