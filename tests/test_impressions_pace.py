"""How long a drawing takes: measured on this machine, never growing, without anybody's pauses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from explainers import Network, impressions
from explainers.impressions import goals, impression, pace
from explainers.impressions.knobs import Knobs
from tests import nets

KNOBS = Knobs(steps=8, size=64, start=32)


def fresh() -> Network:
    """A network that nobody timed yet."""
    network = nets.seeded("resnet18")
    network.key = f"fresh {id(network)}"
    return network


class Now:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    made = Now()
    monkeypatch.setattr(pace, "time", made)
    monkeypatch.setattr(impression, "time", made)
    return made


@pytest.fixture
def drawn_in(monkeypatch: pytest.MonkeyPatch, now: Now) -> dict[int, float]:
    """Steps of each size take as long as is said here."""
    takes = {32: 0.5, 64: 2.0}
    step = pace.Drawing.step

    def timed(self) -> None:
        now.seconds += takes[self.size()]
        step(self)

    monkeypatch.setattr(pace.Drawing, "step", timed)
    return takes


@pytest.mark.slow
def test_it_is_known_beforehand_from_a_few_steps_of_each_size(drawn_in) -> None:
    network = fresh()
    goal = goals.of_class(network, 1)
    steps = len(list(pace.measure(network, goal, KNOBS)))
    assert steps == 2 * (1 + pace.TRIED)
    assert pace.course(network, [goal], KNOBS).seconds == pytest.approx(4 * 0.5 + 4 * 2.0)
    assert not list(pace.measure(network, goal, KNOBS))  # once is enough
    both = pace.course(network, [goal, goal], Knobs(steps=16, size=64, start=32, crops=2))
    assert both.seconds == pytest.approx(8 * 10)


def test_time_left_is_right_from_the_first_picture_on_though_later_steps_take_longer(
    drawn_in,
) -> None:
    network = fresh()
    goal = goals.of_class(network, 1)
    list(pace.measure(network, goal, KNOBS))
    seen = [each[0] for each in impressions.draw(network, [goal], KNOBS)]
    for each in seen:
        assert each.seconds + each.left == pytest.approx(10)
    assert seen[-1].left == 0


def test_time_left_never_grows_and_the_next_drawing_is_planned_by_what_the_last_took(
    drawn_in,
) -> None:
    network = fresh()
    goal = goals.of_class(network, 1)
    list(pace.measure(network, goal, KNOBS))
    drawn_in.update({32: 1.0, 64: 8.0})  # somebody else came
    left = [each[0].left for each in impressions.draw(network, [goal], KNOBS)]
    assert left == sorted(left, reverse=True)
    assert pace.course(network, [goal], KNOBS).seconds == pytest.approx(4 * 1.0 + 4 * 8.0)


def test_pauses_of_whoever_looks_on_are_not_counted(drawn_in, now: Now) -> None:
    network = fresh()
    drawing = impressions.draw(network, [goals.of_class(network, 1)], KNOBS)

    def watched() -> Iterator[impressions.Impression]:
        for (each,) in drawing:
            yield each
            now.seconds += 600  # Cancel, and “Go on” ten minutes later

    *_, last = watched()
    assert 10 <= last.seconds <= 10 + pace.PAUSE * (KNOBS.steps + 1)
