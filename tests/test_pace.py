"""Time left: measured here, and never more than was said before."""

from __future__ import annotations

import pytest

from tabs.parts.pace import Often, Pace, span


def said(steps: list[tuple[float, float]]) -> list[float | None]:
    """What is said at (seconds, share done) of some work."""
    now = iter(seconds for seconds, _ in steps)
    pace = Pace(lambda: next(now))
    return [pace.left(done) for _, done in steps]


def test_time_left_never_grows_however_the_work_slows_down() -> None:
    steps = [(0, 0.0), (1, 0.2), (2, 0.3), (9, 0.35), (10, 0.3), (20, 0.9), (21, 0.99)]
    left = [each for each in said(steps) if each is not None]
    assert left[0] == pytest.approx(4, rel=0.2)
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1


def test_nothing_is_said_before_a_little_is_measured() -> None:
    assert said([(0, 0.0), (0.1, 0.5)]) == [None, None]
    assert said([(0, 0.4), (5, 0.4)]) == [None, None]  # nothing was done meanwhile
    words = Pace(iter([0, 0.01]).__next__).words(0.0)
    assert "left" not in words


def test_what_was_done_before_it_looked_does_not_count_as_speed() -> None:
    assert said([(0, 0.9), (1, 0.95)])[-1] == pytest.approx(1, rel=0.2)


def test_lengths_of_time_are_rounded_up() -> None:
    said = [span(each) for each in (0.2, 3.1, 12, 61, 200)]
    assert said == ["1 s", "4 s", "15 s", "65 s", "4 min"]


def test_a_picture_is_due_at_first_and_when_the_time_has_gone_by() -> None:
    now = iter([10, 10.1, 10.6, 10.7, 11.2])
    due = Often(0.5, lambda: next(now))
    assert [due() for _ in range(5)] == [True, False, True, False, True]
