"""Which channel points at heads: chosen on some photos, measured on the others, beside chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import face_units
from training import coco


def item(*boxes: tuple[float, ...], classes: tuple[int, ...]) -> coco.Item:
    """A photo of 100 × 200 pixels."""
    known = np.ones(80, bool)
    return coco.Item(
        Path("x.jpg"), (100, 200), np.array(boxes, np.float32), np.array(classes), known
    )


def test_heads_are_the_top_quarter_of_people_where_there_are_few() -> None:
    one = item((10, 40, 50, 120), (0, 0, 100, 200), classes=(coco.PERSON, 16))
    far = item((10, 40, 50, 90), classes=(coco.PERSON,))
    crowd = item(*[(0, 0, 9, 9)] * 5, classes=(coco.PERSON,) * 5)
    found = face_units.heads([one, crowd, far])
    assert list(found) == [0]
    np.testing.assert_allclose(found[0], [[0.1, 0.2, 0.5, 0.3]], atol=1e-6)
    assert face_units.covered(found[0]) == pytest.approx(0.04, abs=0.005)


def test_the_best_channel_is_measured_where_it_was_not_chosen() -> None:
    box = np.array([[0.0, 0.0, 0.5, 0.5]])
    places = np.full((8, 3, 2), 0.9)
    places[::2, 0] = 0.2  # right by luck where it is chosen, never elsewhere
    places[1::2, 1] = 0.2
    pointed = face_units.Pointed(places, np.ones((8, 3)))
    found = face_units.best(pointed, dict.fromkeys(range(8), box), "heads")
    assert (found.channel, found.pointing, found.photos) == (0, 0.0, 8)
    assert found.chance == pytest.approx(0.25, abs=0.01)
    assert found.gain < 0
    places[0, 0], places[:, 2] = 0.9, 0.1
    found = face_units.best(pointed, dict.fromkeys(range(8), box), "heads")
    assert (found.pointing, found.gain, found.habit) == (1.0, 1.0, 1.0)


def test_auc_is_the_chance_to_rank_a_photo_with_people_first() -> None:
    scores, present = np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])
    assert face_units.auc(scores, present) == pytest.approx(3.5 / 4)


def test_a_few_photos_without_any_other_class_have_their_summary() -> None:
    photos = [item((10, 40, 50, 180), classes=(kind,)) for kind in [coco.PERSON] * 4 + [16]]
    pointed = face_units.Pointed(np.full((5, 3, 2), 0.25), np.ones((5, 3)))
    found = face_units.found(photos, pointed)
    assert found["others"] == []
    told = face_units.summary(found)
    assert told.keys() == {"channel", "pointing", "chance"}
    assert told["pointing"] == 1.0
