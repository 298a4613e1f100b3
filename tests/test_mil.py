"""A-MIL: cutting and stitching, attention pooling, the lesson, the shipped head, the scripts."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from explainers import mil
from explainers.errors import ExplainError, OptionError, TargetError
from explainers.mil import lesson as mil_lesson
from explainers.mil.patches import MAX_PATCHES, cut, stitch
from explainers.mil.scores import POOLINGS, patch_scores
from training import amil, amil_breakhis, draw_tissue, runs, stain
from training.bags import Bank, canvas, draw_bags, hold_out

SIZES = [(224, 224), (225, 231), (97, 56), (16, 700), (57, 1280)]


def grey(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def reading(attention: list[float], instances: list[float]) -> mil.Reading:
    grid = cut(grey(56 * len(attention), 56), 56)
    return mil.Reading(grid, np.array(attention), np.array(instances), 1.0)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_patches_cover_every_pixel_exactly_once(width: int, height: int):
    grid = cut(grey(width, height), 56)
    times = np.zeros((height, width))
    for x0, y0, x1, y1 in grid.boxes:
        times[y0:y1, x0:x1] += 1
    assert (times == 1).all()
    assert len(grid) == grid.rows * grid.columns == len(grid.patches)
    sides = {side for patch in grid.patches for side in patch.shape[:2]}
    assert all(28 <= side <= 84 or side == min(width, height) for side in sides)
    values = np.arange(len(grid), dtype=float)
    laid = stitch(values, grid.boxes, grid.size)
    x0, y0, x1, y1 = grid.boxes[-1]
    assert (x1, y1) == (width, height)
    assert (laid[y0:y1, x0:x1] == values[-1]).all()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_overlapping_patches_are_averaged(width: int, height: int):
    grid = cut(grey(width, height), 56, overlap=0.5)
    side = (min(56, height), min(56, width))
    assert all(patch.shape[:2] == side for patch in grid.patches)
    values = np.random.default_rng(1).normal(size=len(grid))
    laid = stitch(values, grid.boxes, grid.size)
    for x, y in ((0, 0), (width - 1, height - 1), (width // 2, height // 2), (width // 3, 5)):
        over = [x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in grid.boxes]
        assert laid[y, x] == pytest.approx(values[over].mean(), rel=1e-5)


def test_what_was_not_read_yet_stays_empty():
    grid = cut(grey(112, 56), 56)
    laid = stitch(np.array([3.0]), grid.boxes, grid.size)
    assert (laid[:, :56] == 3).all()
    assert np.isnan(laid[:, 56:]).all()


def test_a_click_finds_the_patch_under_it():
    grid = cut(grey(230, 170), 56)
    for number, (x0, y0, x1, y1) in enumerate(grid.boxes):
        assert grid.at((x0 + x1) / 2, (y0 + y1) / 2) == number


def test_too_many_patches_name_a_size_that_fits():
    with pytest.raises(OptionError, match=r"10,000 .* patches of (\d+) pixels") as caught:
        cut(grey(1000, 1000), 10)
    enough = int(str(caught.value).split("patches of ")[-1].split()[0])
    assert len(cut(grey(1000, 1000), enough)) <= MAX_PATCHES < (1000 / (enough - 1)) ** 2


@pytest.mark.parametrize(
    ("size", "patch", "overlap", "match"),
    [
        ((10, 10), 56, 0.0, "10 × 10 pixels, too small"),
        ((300, 300), 3, 0.0, "shows nothing"),
        ((300, 300), 56, 1.0, "overlap must lie"),
    ],
)
def test_extremes_are_refused_in_one_sentence(size, patch, overlap, match):
    with pytest.raises(ExplainError, match=match):
        cut(grey(*size), patch, overlap)


def test_attention_sums_to_one_and_order_does_not_matter():
    torch.manual_seed(0)
    head = mil.feature_head(20, 16).eval()
    bag = torch.randn(2, 9, 20)
    order = torch.randperm(9)
    logits, attention, instances = head(bag)
    mixed, shuffled, _ = head(bag[:, order])
    assert torch.allclose(attention.sum(1), torch.ones(2))
    assert torch.allclose(mixed, logits, atol=1e-6)
    assert torch.allclose(shuffled, attention[:, order], atol=1e-6)
    assert torch.allclose(logits, (attention * instances).sum(1), atol=1e-6)


def test_absent_patches_have_no_say():
    torch.manual_seed(0)
    head = mil.feature_head(20, 16).eval()
    bag = torch.randn(1, 9, 20)
    present = torch.arange(9) < 5
    padded, attention, _ = head(bag, present[None])
    assert torch.allclose(padded, head(bag[:, :5])[0], atol=1e-6)
    assert (attention[0, 5:] == 0).all()


def test_gradients_equal_those_of_a_bag_worked_out_by_hand():
    e = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    s = torch.tensor([3.0, -2.0, 0.25], requires_grad=True)
    logit, _ = mil.pool(e, s)
    logit.backward()
    a = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    z = a @ [3.0, -2.0, 0.25]
    assert logit.item() == pytest.approx(z, rel=1e-6)
    assert s.grad.numpy() == pytest.approx(a, rel=1e-5)  # d z / d s_k = a_k
    assert e.grad.numpy() == pytest.approx(a * ([3.0, -2.0, 0.25] - z), rel=1e-4)


def test_gated_attention_is_that_of_the_paper():
    torch.manual_seed(1)
    part, h = mil.Attention(6, 4), torch.randn(5, 6)
    v, u, w = part.tanh, part.gate, part.weight
    by_hand = (torch.tanh(h @ v.weight.T + v.bias) * torch.sigmoid(h @ u.weight.T + u.bias)) @ (
        w.weight[0]
    ) + w.bias
    assert torch.allclose(part(h), by_hand, atol=1e-6)


def test_removing_the_top_patches_pools_the_rest_anew():
    bag = reading([2.0, 0.0, 1.0, -3.0], [4.0, -2.0, 1.0, -1.0])
    curve = bag.remove_top()
    assert bag.top(2).tolist() == [0, 2]
    assert (bag.rank(0), bag.rank(3)) == (1, 4)
    for count, kept in enumerate(([0, 1, 2, 3], [1, 2, 3], [1, 3], [3])):
        rest = reading(bag.attention_logits[kept].tolist(), bag.instance_logits[kept].tolist())
        assert curve[count] == pytest.approx(rest.probability)


def test_light_keeps_dark_parts_readable_unless_asked_for_the_authors_way():
    values = np.array([0.0, 0.1, 0.2, 0.7])
    lit = mil.brightness(values, floor=0.3)
    assert lit.min() == pytest.approx(0.3)
    assert lit.max() == pytest.approx(1.0)
    assert mil.brightness(values, "raw", floor=0.0) == pytest.approx(values)
    assert mil.brightness(values, "author") == pytest.approx(values / 0.7)
    with pytest.raises(OptionError):
        mil.brightness(values, "loud")


def test_the_shipped_head_reads_a_drawn_canvas_as_it_streams(lite0):
    pixels, where = draw_tissue.draw(*draw_tissue.EXAMPLES["half"], side=224)
    readings = list(mil.attend(mil.load_amil(), lite0, pixels, 56, overlap=0.25))
    done = [bag.done for bag in readings]
    last = readings[-1]
    assert len(done) > 1
    assert done == sorted(set(done))
    assert done[-1] == 1.0
    for bag in readings:
        assert bag.attention.sum() == pytest.approx(1.0)
        assert 0 <= bag.probability <= 1
    assert last.picture(last.attention).shape == (224, 224)
    inside = np.array([where[y0:y1, x0:x1].mean() for x0, y0, x1, y1 in last.grid.boxes])
    assert inside[last.top(1)[0]] > 0.5
    assert last.probability > 0.5
    alone = list(mil.attend(mil.load_amil(), lite0, pixels[:40, :40]))[-1]
    assert alone.attention.tolist() == [1.0]
    assert "one patch" in alone.note


def test_another_network_is_refused(resnet18):
    with pytest.raises(OptionError, match="EfficientNet-Lite0"):
        next(mil.attend(mil.load_amil(), resnet18, grey(112, 112)))


def test_the_card_names_its_figures_and_the_weights_are_checked(tmp_path):
    card = (mil.WEIGHTS / "README.md").read_text(encoding="utf-8")
    names = ("accuracy", "auc", "hit_1_of_16", "hit_4_of_16", "instance_auc")
    assert f"| | | {' | '.join(names)} |" in card
    assert "no diagnosis" in card
    for condition in ("plain", "shift"):
        row = card.split(f"| A-MIL | {condition} |")[1].splitlines()[0].split("|")[:5]
        least = (0.95, 0.985, 0.8, 0.97, 0.96)
        assert all(float(value) >= target for value, target in zip(row, least, strict=True))
    config = json.loads((mil.WEIGHTS / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"width": config["width"] + 1}))
    (tmp_path / "model.safetensors").write_bytes((mil.WEIGHTS / "model.safetensors").read_bytes())
    with pytest.raises(ExplainError, match="missing or damaged"):
        mil.load_amil(tmp_path)
    with pytest.raises(ExplainError, match="missing or damaged"):
        mil.load_amil(tmp_path / "nowhere")


def test_poolings_by_hand_and_order():
    p = np.array([0.1, 0.5, 0.9])
    found = {name: float(pool(p)) for name, pool in POOLINGS.items()}
    assert found["max"] == 0.9
    assert found["mean"] == pytest.approx(0.5)
    assert found["noisy-or"] == pytest.approx(1 - 0.9 * 0.5 * 0.1)
    assert found["lse"] == pytest.approx(np.log(np.exp(10 * p).mean()) / 10)
    for name, pool in POOLINGS.items():
        assert float(pool(p[::-1])) == pytest.approx(found[name])


def test_an_ordinary_photo_is_scored_patch_by_patch(resnet18, photo):
    *_, last = patch_scores(resnet18, photo.pixels, (3, 5), 150, pooling="noisy-or")
    assert last.probabilities.shape == (6, 2)
    assert last.bag[0] == pytest.approx(1 - np.prod(1 - last.probabilities[:, 0]))
    other = dataclasses.replace(last, targets=(7,), pooling="max")
    assert other.bag[0] == last.all_probabilities[:, 7].max()
    curve = other.remove_top()
    assert curve.tolist() == sorted(other.probabilities[:, 0].tolist(), reverse=True)
    x = mil.as_batch(last.grid.patches[4:5], resnet18.size, resnet18)
    alone = resnet18.probabilities(resnet18.logits(x))[0, 3]
    assert last.probabilities[4, 0] == pytest.approx(float(alone), rel=1e-4)
    with pytest.raises(TargetError):
        next(patch_scores(resnet18, photo.pixels, ("no such class",)))
    with pytest.raises(OptionError, match="poolings"):
        next(patch_scores(resnet18, photo.pixels, 3, pooling="median"))


@pytest.mark.slow
def test_the_lesson_learns_where_the_cross_is_and_repeats_itself():
    state = torch.random.get_rng_state()
    first, *_, last = mil_lesson.lesson(seed=0, steps=128, every=32)
    assert last.done == 1.0
    assert len(last.at) == len(last.losses) == len(last.bag_accuracy) == len(last.hit_rate) == 5
    assert last.losses[-1] < 0.8 * last.losses[0]
    assert last.hit_rate[-1] > 8 * mil_lesson.CHANCE
    assert torch.equal(state, torch.random.get_rng_state())
    own = mil_lesson.draw_bag(12345, 1)
    large = cv2.resize(own.picture, (448, 448))
    read = mil_lesson.read_bag(last.model, large)
    assert len(read.grid) == mil_lesson.CELLS
    again = next(mil_lesson.lesson(seed=0, steps=128, every=32))
    assert first.losses == again.losses
    assert (first.test.picture == again.test.picture).all()


def test_bags_hand_out_a_label_that_fits_their_patches():
    truth = np.repeat([False, True], 6)
    patches = np.broadcast_to(truth[None, :, None, None], (2, 12, 16, 1)).astype(np.float32)
    bank = Bank(patches, truth, np.arange(12).astype(str))
    x, present, labels = draw_bags(bank, 400, np.random.default_rng(0))
    assert ((x[..., 0] * present).any(1) == labels.astype(bool)).all()
    bad, size = (x[..., 0] * present).sum(1), present.sum(1)
    full = size == 16
    assert {0, 1, 16} <= set(bad[full].astype(int))
    assert size.min() == 1
    groups = np.tile(np.arange(20), 3)
    held = hold_out(groups, 0.25, 0)
    assert len(set(groups[held])) == 5
    assert not set(groups[held]) & set(groups[~held])


def test_a_run_that_was_broken_off_ends_where_an_unbroken_one_does(tmp_path, monkeypatch):
    rng, labels = np.random.default_rng(0), np.repeat([False, True], 5)
    patches = rng.normal(size=(1, 10, 16, 6)) + labels[None, :, None, None]
    bank = Bank(patches.astype(np.float32), labels, np.arange(10).astype(str))

    def run(name: str, fails_at: int | None = None, resume: bool = False):
        torch.manual_seed(0)
        model = mil.feature_head(6, 8)
        seen = []

        def broken(*given):
            seen.append(given)
            if fails_at is not None and len(seen) > fails_at:
                raise KeyboardInterrupt
            return step(*given)

        step = amil.Training.one
        monkeypatch.setattr(amil.Training, "one", broken)
        recipe = amil.Recipe(steps=12, batch=4, rate=1e-2, decay=0.0, seed=1)
        try:
            return amil.fit(model, bank, recipe, tmp_path / name, resume=resume)
        finally:
            monkeypatch.setattr(amil.Training, "one", step)

    monkeypatch.setattr(runs, "KEEP_EVERY", 0.0)
    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("broken", fails_at=6)
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["step"] == 6
    continued = run("broken", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.allclose(continued.state_dict()[name], value, atol=1e-6), name


@pytest.mark.slow
def test_breakhis_trains_on_made_images(tmp_path, monkeypatch):
    monkeypatch.setattr(amil_breakhis, "GRID", (4, 6))  # a quarter of the patches
    for label, share, kind in (("B", 0.0, "A"), ("M", 1.0, "DC")):
        tile, _ = draw_tissue.draw(5, share, side=700)
        for patient in range(3):
            name = f"SOB_{label}_{kind}-14-{patient}{label}-100-001.png"
            moved = np.roll(tile[:460], 137 * patient, 1)
            cv2.imwrite(str(tmp_path / name), moved[..., ::-1])
    slides = amil_breakhis.find(tmp_path, 100)
    assert slides.labels.tolist() == [False] * 3 + [True] * 3
    given = f"--data {tmp_path} --out {tmp_path / 'out'} --checkpoints {tmp_path / 'kept'}"
    amil_breakhis.main([*given.split(), "--zoom", "100", "--copies", "0", "--steps", "60"])
    figures = json.loads((tmp_path / "out/100x/config.json").read_text())["figures"]
    assert min(figures["auc"], figures["hit_4_of_16"]) > 0.9
    mil.load_amil(tmp_path / "out/100x")
    with pytest.raises(OptionError, match="40x"):
        amil_breakhis.find(tmp_path, 40)


def test_no_breakhis_patient_is_on_both_sides():
    patients = np.random.default_rng(0).permutation(np.tile(np.arange(20), 4)).astype(str)
    slides = amil_breakhis.Slides([], patients.astype(int) >= 10, patients)
    test = amil_breakhis.set_aside(slides, np.ones(80, dtype=bool), 0)
    assert not set(patients[test]) & set(patients[~test])
    assert (test & slides.labels).sum() == (test & ~slides.labels).sum() == 8


def test_stain_shift_changes_the_tint_and_matching_takes_it_out_again():
    tile, _ = draw_tissue.draw(6, 0.3, side=224)
    moved = stain.shift(tile, np.random.default_rng(2), 0.25)
    reference = stain.tint(tile)
    before = np.abs(stain.tint(moved)[0] - reference[0]).max()
    after = np.abs(stain.tint(stain.match(moved, reference))[0] - reference[0]).max()
    assert before > 5
    assert after < before / 3
    made, truth = canvas(tile, moved, 4, np.random.default_rng(0))
    differs = [
        (p != q).any() for p, q in zip(*(amil.split(x, 4, 4) for x in (made, tile)), strict=True)
    ]
    assert differs == truth.tolist()
