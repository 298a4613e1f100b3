"""Networks that see several classes at once: heads by hand, where weights come from, what is on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn

from benchmarks import multilabel as benchmark
from explainers import ModelError, Network, OptionError, Question, ask, load, read
from explainers.methods.backprop import RECTIFIERS
from explainers.network import Recipe
from explainers.network.heads import SpatialHead
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, checkpoint, loaded
from explainers.zoo.catalogue import AUTHORS, WEIGHTS, Entry, recipe
from explainers.zoo.coco_labels import COCO_LABELS
from explainers.zoo.multilabel import LiteWithDetector, MaxPooledVGG, SpatialLite, YoloTiny
from training import beliefs, coco, coco80, folding, nano, probe, thresholds
from training.coco_imagenet import MORE, SAME, kin, same
from training.views import Photo, view

from . import nets
from .fake_hub import running

EXAMPLES = Path(__file__).parent.parent / "assets" / "examples"
CAT, DOG, CUP = (COCO_LABELS.index(name) for name in ("cat", "dog", "cup"))


def seen(network: Network, name: str) -> torch.Tensor:
    view = network.prepare(read(EXAMPLES / name))
    return network.probabilities(network.logits(view.tensor))[0]


@pytest.mark.slow
def test_the_spatial_head_pools_as_defined_and_makes_cam_exact() -> None:
    head = SpatialHead(2, 1)
    with torch.no_grad():
        head.cells.weight.copy_(torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1))
        head.cells.bias.fill_(0.5)
    maps = torch.tensor([[[[3.0, 0.0]], [[1.0, 0.0]]]])  # cells: 3 - 2 + 0.5 and 0.5
    peak = math.log(math.exp(3) + math.exp(1)) / 2  # twice each cell's logit, then half the log
    assert head(maps).item() == pytest.approx((peak + 1.0) / 2, rel=1e-6)

    network = load("coco80")
    view = network.prepare(read(EXAMPLES / "cat-and-dogs.jpg"))
    question = Question(network, view, (CAT, DOG), network.last)
    *_, cam = ask(question, "cam")
    *_, gradcam = ask(question, "gradcam")
    spread = cam.values.max() - cam.values.min()
    assert (gradcam.values * cam.values[0].numel() - cam.values).abs().max() <= 5e-6 * spread
    with torch.no_grad():
        module = network.module
        maps = module.trunk(view.tensor)
        maps = torch.cat([maps, module.detector(view.tensor, maps.shape[2:])], 1)
        cells = module.head.cells(maps)[0, [CAT, DOG]]
        bias = network.module.head.cells.bias[[CAT, DOG]]
    assert torch.allclose(cam.values, cells - bias[:, None, None], atol=1e-4)


@pytest.mark.slow
def test_a_max_pooled_head_has_an_exact_cam_too() -> None:
    torch.manual_seed(0)
    network = Network(
        MaxPooledVGG(),
        key="v",
        title="V",
        labels=COCO_LABELS,
        mean=[0] * 3,
        std=[1] * 3,
        size=64,
        alone=True,
    )
    view = network.view(torch.rand(1, 3, 64, 64))
    *_, cam = ask(Question(network, view, (3,), network.last), "cam")
    assert cam.values.shape == (1, 4, 4)
    assert torch.allclose(network.cam_weights, network.module.classifier.weight)


def test_yolo_scores_are_objectness_times_class() -> None:
    raw = torch.randn(1, 3, 85, 2, 2, dtype=torch.float64) * 4
    expected = raw[:, :, 4:5].sigmoid() * raw[:, :, 5:].sigmoid()
    assert torch.allclose(YoloTiny.scores(raw).sigmoid(), expected, rtol=1e-9)
    network = load("yolo")
    found = seen(network, "four-things.jpg")
    assert {int(i) for i in found.topk(2).indices} == {CUP, DOG}
    assert "not defined" in (reason := nets.why_not(network, "guided")) or "leaky" in reason
    with pytest.raises(OptionError, match="YOLOv3-tiny"):
        list(ask(Question(network, network.prepare(read(EXAMPLES / "cat.jpg")), (CAT,),
                          network.last), "guided"))  # fmt: skip


def test_what_is_above_its_own_threshold_is_present_surest_first() -> None:
    network = load("coco80")
    assert len(network.thresholds) == 80
    assert all(0.05 < each < 0.95 for each in network.thresholds)
    logits = torch.full((80,), -9.0)
    bound = torch.tensor(network.thresholds).logit()
    logits[DOG], logits[CAT], logits[CUP] = bound[DOG] + 0.1, bound[CAT] + 2, bound[CUP] - 0.1
    assert network.present(logits) == [CAT, DOG]
    assert load("lite0").present(torch.zeros(1000)) == []


def test_the_shipped_network_is_small_and_safe() -> None:
    path = WEIGHTS / "coco80-lite2" / "model.safetensors"
    assert path.stat().st_size <= 12e6
    tensors = load_file(path)
    assert all(v.dtype == torch.float16 for v in tensors.values() if v.is_floating_point())
    assert load("coco80").nonlinearities <= RECTIFIERS  # or guided backprop is not defined
    card = (WEIGHTS / "coco80-lite2" / "README.md").read_text("utf-8")
    assert all(f"| {name} |" in card for name in COCO_LABELS)


def at_size(monkeypatch: pytest.MonkeyPatch, size: int) -> list[int]:
    """Networks are loaded for inputs of that size, or the looks at their answers would take
    seconds. Returns the sizes that they were to have."""
    sizes = []

    def small(entry: Entry) -> Recipe:
        sizes.append(recipe(entry).size)
        return replace(recipe(entry), size=size)

    monkeypatch.setattr(loaded, "recipe", small)
    return sizes


@pytest.mark.slow
def test_a_hub_copy_is_read_first_and_missing_it_is_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {k: v.contiguous() for k, v in load("coco80").module.state_dict().items()}
    other = save({k: v + 1 if k == "head.cells.bias" else v for k, v in ours.items()})
    at_size(monkeypatch, 96)
    with running() as hub:
        repo = hub.put("someone/weights", weights=b"")
        repo.files["coco80-lite2/model.safetensors"] = other
        settings = Settings(
            endpoint=hub.url, cache_dir=str(tmp_path), weights_repo="someone/weights"
        )
        theirs = Zoo(settings).get("coco80").module.head.cells.bias
        assert torch.allclose(theirs, ours["head.cells.bias"] + 1)
        settings = replace(settings, weights_repo="nobody/here")
        assert torch.equal(
            Zoo(settings).get("coco80").module.head.cells.bias, ours["head.cells.bias"]
        )


@pytest.mark.slow
def test_the_authors_checkpoint_is_loaded_where_a_server_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert AUTHORS not in [status.key for status in Zoo(Settings()).status()]
    sizes = at_size(monkeypatch, 96)
    torch.manual_seed(1)
    made = MaxPooledVGG().eval()
    path = tmp_path / "model.pth"
    torch.save({f"theirs.{n}": v for n, v in enumerate(made.state_dict().values())}, path)
    settings = from_environment({"SEEING_WHY_COCO_VGG": str(path)})
    network = Zoo(settings).get(AUTHORS)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.logits(x), made(x), atol=1e-5)
    assert (network.head, sizes) == ("sigmoid", [448])
    with running() as hub:
        hub.put("someone/vgg", weights=save(made.state_dict()))
        settings = Settings(endpoint=hub.url, cache_dir=str(tmp_path), coco_vgg="someone/vgg")
        assert torch.allclose(Zoo(settings).get(AUTHORS).logits(x), network.logits(x), atol=1e-6)
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(ModelError, match="do not fit"):
        Zoo(from_environment({"SEEING_WHY_COCO_VGG": str(path)})).get(AUTHORS)


def test_average_precision_and_pointing_by_hand() -> None:
    scores, present = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    assert benchmark.average_precision(scores, present) == pytest.approx((1 + 2 / 3) / 2)
    tally = benchmark.Tally()
    boxes = {0: np.array([[0.0, 0.0, 0.5, 1.0]]), 1: np.array([[0.4, 0.0, 1.0, 1.0]])}
    tally.add((0.2, 0.5), 0, boxes)
    tally.add((0.45, 0.5), 0, boxes)  # in its own box, and in the other's too
    tally.add((0.2, 0.5), 1, boxes)
    assert tally.means() == {"pointing": 0.6667, "discrimination": 0.3333}


@pytest.mark.slow
def test_folding_changes_nothing_and_the_export_fits_the_plain_network() -> None:
    folded, plain = folding.new_network(), SpatialLite().eval()
    plain.load_state_dict(folding.plain_state(folded))
    x = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(folded(x), plain(x), atol=1e-4)
        trunk = load(folding.TRUNK).module.forward_features(x)
        assert torch.allclose(folded.trunk(x), trunk, atol=1e-3)
        rough = coco80.features(folded.trunk, x, 3)  # its frozen part in half precision
        assert (rough - trunk).norm() < 0.1 * trunk.norm()


def test_annotation_overrules_the_teacher_where_there_is_any() -> None:
    teacher = np.full((80, 6, 6), -1.5, np.float32)
    teacher[CAT, 0, 0], teacher[DOG, 0, 0], teacher[CUP, 5, 5] = 1.0, 1.0, 3.0
    known = np.arange(80) != DOG
    box = np.array([[1, 1, 5, 5]], np.float32) * 16  # its middle: places 2 and 3
    item = coco.Item(Path("x"), (96, 96), box, np.array([CAT]), known)
    found = beliefs.annotated(teacher, item)
    middle = np.zeros((6, 6), bool)
    middle[2:4, 2:4] = True
    assert (found[CAT][middle] == beliefs.PRESENT).all()
    rim = np.zeros((6, 6), bool)
    rim[1:5, 1:5] = True
    assert np.array_equal(found[CAT][rim & ~middle], teacher[CAT][rim & ~middle])
    assert found[CAT, 0, 0] == beliefs.ABSENT  # outside the box, whatever the teacher says
    assert found[CUP, 5, 5] == beliefs.ABSENT  # annotated, and not in the photo
    assert np.array_equal(found[DOG], teacher[DOG])  # nobody annotated dogs


def test_beliefs_follow_their_photo_into_a_view() -> None:
    pixels = np.zeros((208, 416, 3), np.uint8)
    pixels[48:112, 64:192] = 255
    known = np.full((80, 13, 26), beliefs.FLOOR, np.float16)
    known[CAT, 3:7, 4:12] = 2.0  # on the white
    photo, rng = Photo(pixels, known), np.random.default_rng(0)
    believed = 0
    for count in (1, 4) * 8:
        made, cells = view([photo] * count, 128, rng)
        white = (made.min(-1) > 150).reshape(4, 32, 4, 32).mean((1, 3))
        assert (white[cells[CAT] == 2.0] > 0.05).all()
        assert (cells[CAT][white > 0.9] == 2.0).all()
        assert (np.delete(cells, CAT, 0) == beliefs.FLOOR).all()
        believed += (cells[CAT] == 2.0).sum()
    assert believed > 30


def test_windows_of_a_photo_go_with_what_is_believed_of_them() -> None:
    maps = torch.zeros(1, 6, 9)
    maps[0, :3, :3] = torch.arange(9.0).reshape(3, 3)
    known = np.full((80, 12, 18), beliefs.FLOOR, np.float16)
    known[CAT, 0, 1], known[DOG, 11, 17] = 3.0, 2.0
    found = list(probe.windows(maps, known))
    assert len(found) == 1 + 4 + 9
    assert found[0][0].item() == pytest.approx(36 / 54)
    assert [each[1][CAT].item() for each in found].count(3.0) == 3  # all; a large one; a ninth
    assert [each[1][DOG].item() for each in found].count(2.0) == 3
    ninth, logits = found[5]
    assert ninth.item() == pytest.approx((0 + 1 + 2 + 3 + 4 + 5) / 6)  # 2 x 3 cells
    assert (logits[CAT], logits[DOG]) == (3.0, beliefs.FLOOR)


def test_the_first_head_follows_the_data_and_where_there_is_little_its_kin() -> None:
    rng = torch.Generator().manual_seed(0)
    truth = torch.randn(2, 6, generator=rng)
    many = torch.randn(200_000, 6, generator=rng)
    weights, biases = probe.regression(many, many @ truth.T + 1, truth * 3)
    assert torch.allclose(weights, truth, atol=0.02)
    assert torch.allclose(biases, torch.ones(2), atol=0.02)
    few = torch.randn(40, 6, generator=rng)
    told, _ = probe.regression(few, few @ truth.T, truth * 3)
    alone, _ = probe.regression(few, few @ truth.T, torch.zeros(2, 6))
    assert (told - truth).norm() < 0.05 * (alone - truth).norm()

    names = load("lite0").labels
    assert [names[n] for n in kin("zebra", names)] == ["zebra"]
    assert len(kin("dog", names)) == 118
    assert same("dog", names) == list(range(151, 269))
    assert kin("giraffe", names) == []
    assert {names[n] for n in kin("cow", names)} == {"ox", "oxcart"}
    assert [names[n] for n in same("cow", names)] == ["ox"]
    assert all(same(name, names) for name in SAME)
    assert all(set(kin(name, names)) > set(same(name, names)) for name in MORE)
    assert {*SAME, *MORE} <= set(COCO_LABELS)


def test_thresholds_by_hand() -> None:
    found = np.array([0.9, 0.2, 0.7, 0.4, 0.1])
    assert thresholds.best(found, found > 0.5) == pytest.approx(0.55)
    noisy = np.array([True, False, False, True, False])  # F1 of .9 alone: 2/3; down to .4: 4/5
    assert thresholds.best(found, noisy) == pytest.approx(0.3)
    everywhere = np.linspace(0, 1, 101)
    assert thresholds.best(everywhere, everywhere >= 0) == pytest.approx(0.05)

    people, dogs = np.linspace(0.9, 0.99, 100), np.linspace(0.1, 0.4, 100)
    chances = np.stack([people, dogs, dogs], 1)
    present = np.stack([people > 0, dogs > 0.3, dogs > 0.2], 1)
    moved = 1 / (1 + np.exp(-thresholds.logit(chances) - thresholds.shifts(chances, present)))
    assert (moved[:, 0] > 0.5).mean() == pytest.approx(0.95)  # in every photo: all but a few pass
    both = thresholds.together(moved, present)
    assert both == pytest.approx(0.5, abs=1e-3)  # midway between two chances


def run_kept(folder: Path, start: dict[str, torch.Tensor], grown: float) -> Path:
    """A run from `start` that ended with all weights so many times as large."""
    folder.mkdir()
    torch.save(start, folder / "start.pt")
    average = {name: value * grown for name, value in start.items()}
    torch.save({"average": average}, folder / "state.pt")
    return folder


def one_photo(folder: Path) -> tuple[coco.Item, np.ndarray]:
    """Of noise, with a cat believed in one place."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(folder / "x.png")
    item = coco.Item(folder / "x.png", (96, 64), np.zeros((0, 4)), np.zeros(0, int), np.ones(80))
    believed = np.full((80, 4, 6), beliefs.FLOOR, np.float16)
    believed[CAT, 1, 1] = 3.0
    return item, believed


@pytest.mark.slow
def test_a_run_goes_on_from_where_another_ended(tmp_path: Path) -> None:
    start = folding.new_network().state_dict()
    ended, out = run_kept(tmp_path / "one", start, 1.02), tmp_path / "two"
    out.mkdir()
    item, believed = one_photo(tmp_path)
    coco80.train(coco80.Recipe(steps=0, batch=1), out, [item] * 4, [believed] * 4, ended)
    kept = torch.load(out / "state.pt", weights_only=True)
    stem = "trunk.conv_stem.weight"
    for part in ("network", "average"):
        assert torch.equal(kept[part][stem], start[stem] * 1.02)
    assert torch.equal(torch.load(out / "start.pt", weights_only=True)[stem], start[stem])


@pytest.mark.slow
def test_the_export_averages_runs_and_goes_part_of_the_way_back(tmp_path: Path) -> None:
    start = folding.new_network().state_dict()
    runs = [
        run_kept(tmp_path / "one", start, 1.02),
        run_kept(tmp_path / "two", start, 1.06),
    ]
    item, believed = one_photo(tmp_path)
    coco80.export(runs, coco80.Recipe(back=0.5), [item], [believed], nano.new_network())
    made = LiteWithDetector().eval()
    made.load_state_dict(checkpoint.read(runs[0] / "model.safetensors", "made"))
    stem = start["trunk.conv_stem.weight"]
    assert torch.allclose(made.trunk.conv_stem.weight, stem * 1.02, rtol=2e-3, atol=1e-5)
    with torch.no_grad():
        pooled = made(probe.fitted(coco.read(item.path)))[0]
    assert pooled[CAT] == pytest.approx(3.0, abs=0.1)  # levelled on the one photo there is
    assert pooled[DOG] == pytest.approx(beliefs.FLOOR, abs=0.1)


@pytest.mark.slow
def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = coco80.Recipe(steps=4, size=64, batch=2)
    photo = Photo(np.zeros((64, 64, 3), np.uint8), np.full((80, 26, 26), beliefs.FLOOR, np.float16))
    batch = next(iter(coco80.Views([photo] * 4, recipe, 0)))
    torch.manual_seed(0)
    whole = coco80.Training(folding.new_network(), recipe, tmp_path)
    before = whole.network.trunk.conv_stem.weight.clone()
    whole.one(*batch)
    whole.save()
    again = coco80.Training(folding.new_network(), recipe, tmp_path)
    again.resume()
    assert again.step == 1
    for each in (whole, again):
        torch.manual_seed(1)
        assert np.isfinite(each.one(*batch)).all()
    for one, other in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.network.trunk.conv_stem.weight, before)  # it stays ImageNet's
    assert not torch.equal(
        whole.network.trunk.conv_head.weight, whole.average.trunk.conv_head.weight
    )
