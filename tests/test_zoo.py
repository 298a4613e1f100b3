"""Networks: loaded from the bundle, the cache and the Hub, and refused when they are not right."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from skimage import data as pictures

from explainers.errors import ModelError, OptionError
from explainers.imagenet import imagenet_labels
from explainers.photo import read
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, load
from explainers.zoo import loaded as zoo_module
from explainers.zoo.catalogue import CATALOGUE, offered
from explainers.zoo.sources import Hub
from tabs.bar import Bar

from .fake_hub import CONFIG, TINY, FakeHub, entry_for, weights_of
from .waiting import until

CATS = {"tabby", "tiger cat", "Egyptian cat"}


@pytest.fixture(scope="module")
def resnet18() -> bytes:
    return weights_of("resnet18")


def cached(settings: Settings) -> list[Path]:
    return list(Path(settings.cache_dir).glob("*/blobs/*"))


def test_the_bundled_network_needs_no_hub_and_knows_a_cat(hub: FakeHub, settings: Settings):
    hub.stop()
    network = Zoo(settings).get()
    logits = network.logits(network.prepare(read(pictures.chelsea())).tensor)[0]
    best = [network.labels[index] for index in logits.topk(3).indices]
    assert set(best) == CATS
    assert load() is load("lite0")


def test_every_imagenet_class_has_a_name_of_its_own():
    assert len({name.casefold() for name in imagenet_labels()}) == 1000


def test_catalogue_pins_each_file_on_the_hub():
    for entry in filter(lambda entry: entry.repo, CATALOGUE):
        assert len(entry.source.sha256) == 64
        assert entry.bundled or len(entry.source.revision) == 40


@pytest.mark.slow
def test_hub_download_shows_progress_and_the_cache_serves_it_later(
    hub: FakeHub, settings: Settings, resnet18: bytes
):
    entry = replace(entry_for("timm/resnet18.mine", "resnet18", resnet18), tag="tv_in1k")
    repo = hub.put(entry.repo, weights=resnet18)
    repo.hold = threading.Event()
    zoo = Zoo(replace(settings, startup=(entry.key,)), [CATALOGUE[0], entry])
    zoo.start()
    until(lambda: zoo.status()[1].progress > 0)  # half of it is here
    assert [status.state for status in zoo.status()] == ["ready", "loading"]
    assert 0.2 < zoo.status()[1].progress < 0.6
    assert "MB" in zoo.status()[1].message
    assert zoo.get("lite0").key == "lite0"  # not kept waiting
    repo.hold.set()
    until(lambda: zoo.status()[1].state == "ready")
    network = zoo.get(entry.key)
    hub.stop()
    again = Zoo(settings, [entry]).get(entry.key)
    assert again is not network
    x = torch.randn(1, 3, 224, 224)
    torch.manual_seed(0)
    reference = timm.create_model("resnet18", pretrained=False).eval()
    assert torch.allclose(again.logits(x), reference(x), atol=1e-4)
    assert network.interpolation == "bilinear"


def test_the_menu_says_what_of_the_startup_set_can_t_be_had_before_anybody_asks(
    settings: Settings, tiny: bytes
):
    entry = entry_for("timm/missing.x", "test_resnet", tiny)  # not on the Hub
    zoo = Zoo(replace(settings, startup=(entry.key,)), [CATALOGUE[0], entry])
    zoo.start()
    until(lambda: not {"loading", "on demand"} & {status.state for status in zoo.status()})
    menu = {each["key"]: each["stands"] for each in Bar(zoo).networks()["networks"]}
    assert menu == {"lite0": "", entry.key: "can’t be had now"}


def test_a_corrupted_download_is_refused_and_not_kept(
    hub: FakeHub, settings: Settings, tiny: bytes, monkeypatch
):
    monkeypatch.setattr(zoo_module, "FIRST_REST", 0)
    good, bad = (entry_for(f"timm/{name}.x", "test_resnet", tiny) for name in ("good", "bad"))
    hub.put(good.repo, weights=tiny)
    repo = hub.put(bad.repo, weights=tiny)
    repo.corrupt = True
    zoo = Zoo(settings, [good, bad])
    previous = zoo.get("good")
    with pytest.raises(ModelError, match="damaged"):
        zoo.get("bad")
    assert zoo.status()[1].state == "failed"
    assert zoo.get("good") is previous
    assert len(cached(settings)) == 1  # the good file
    repo.corrupt = False
    assert zoo.get("bad").key == "bad"


def test_a_file_damaged_in_the_cache_is_not_used(hub: FakeHub, settings: Settings, tiny: bytes):
    for revision in ("main", None):
        entry = entry_for(f"timm/cached-{revision}.x", "test_resnet", tiny)
        if revision:
            entry = replace(entry, source=Hub(entry.repo, revision))
        hub.put(entry.repo, weights=tiny)
        Zoo(settings, [entry]).get(entry.key)
        blob = next(path for path in cached(settings) if entry.repo[5:] in str(path))
        blob.write_bytes(tiny[:-8] + bytes(8 * [7]))
        Zoo(settings, [entry]).get(entry.key)
        assert blob.read_bytes() == tiny
    blob.write_bytes(tiny[:-8] + bytes(8 * [7]))
    hub.stop()
    with pytest.raises(ModelError, match="can’t be reached"):
        Zoo(settings, [entry]).get(entry.key)
    assert blob.exists()


def test_another_file_than_the_pinned_one_is_not_even_fetched(
    hub: FakeHub, settings: Settings, tiny: bytes
):
    entry = entry_for(TINY, "test_resnet")
    entry = replace(entry, source=replace(entry.source, sha256="0" * 64))
    hub.put(TINY, weights=tiny)
    with pytest.raises(ModelError, match="another one"):
        Zoo(settings, [entry]).get(entry.key)
    assert hub.downloads == []


def test_weights_of_another_shape_are_refused_in_words(
    hub: FakeHub, settings: Settings, tiny: bytes
):
    narrow = weights_of("test_resnet", num_classes=10)
    entry = entry_for(TINY, "test_resnet", narrow)
    hub.put(TINY, weights=narrow)
    with pytest.raises(ModelError, match=r"fc\.weight is 10 × 96 where 1000 × 96 is needed"):
        Zoo(settings, [entry]).get(entry.key)


def test_a_file_that_is_no_safetensors_is_refused(hub: FakeHub, settings: Settings):
    pickled = b"\x80\x04cos\nsystem\n" * 9
    entry = entry_for(TINY, "test_resnet", pickled)
    hub.put(TINY, weights=pickled)
    with pytest.raises(ModelError, match="can’t be read"):
        Zoo(settings, [entry]).get(entry.key)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(404, "no public"), (401, "no public"), (500, "error 500"), (None, "can’t be reached")],
)
def test_a_hub_in_trouble_is_told_in_a_sentence(
    hub: FakeHub, settings: Settings, tiny: bytes, status: int | None, sentence: str
):
    entry = entry_for(TINY, "test_resnet", tiny)
    repo = hub.put(TINY, weights=tiny)
    if status is None:
        hub.stop()
    else:
        repo.status = status
    zoo = Zoo(settings, [entry])
    zoo.request(entry.key)
    until(lambda: zoo.status()[0].state == "failed")
    message = zoo.status()[0].message
    assert sentence in message
    assert message.endswith(".")
    assert "\n" not in message
    assert settings.cache_dir not in message
    asked = hub.questions
    with pytest.raises(ModelError, match=sentence):
        zoo.get(entry.key)
    assert hub.questions == asked  # it rests before it is tried again


@pytest.mark.slow
def test_a_download_that_breaks_off_goes_on(hub: FakeHub, settings: Settings, resnet18: bytes):
    entry = entry_for("timm/resnet18.mine", "resnet18", resnet18)
    hub.put(entry.repo, weights=resnet18).break_off = True
    Zoo(settings, [entry]).get(entry.key)
    ranges = [wanted for *_, wanted in hub.downloads]
    assert ranges == [None, "bytes=20971520-"]  # after the two blocks that came


def test_many_threads_one_load(hub: FakeHub, settings: Settings, tiny: bytes):
    entry = entry_for(TINY, "test_resnet", tiny)
    repo = hub.put(TINY, weights=tiny)
    repo.hold = threading.Event()
    zoo = Zoo(settings, [entry])
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(zoo.get, entry.key) for _ in range(6)]
        until(lambda: hub.downloads)
        zoo.request(entry.key)
        repo.hold.set()
        assert len({id(future.result()) for future in asked}) == 1
    assert len(hub.downloads) == 1


@pytest.mark.slow
def test_the_least_used_leave_past_the_bound(hub: FakeHub, settings: Settings, tiny: bytes):
    entries = [entry_for(f"timm/{name}.x", "test_resnet", tiny) for name in "abc"]
    for entry in entries:
        hub.put(entry.repo, weights=tiny)
    zoo = Zoo(replace(settings, model_mb=23), [CATALOGUE[0], *entries])  # 18.8 MB + 2 x 1.9 MB
    for key in ("lite0", "a", "b", "a"):
        network = zoo.get(key)
    zoo.get("c")
    assert [s.key for s in zoo.status() if s.state == "ready"] == ["lite0", "a", "c"]
    zoo.get("b")
    assert [s.key for s in zoo.status() if s.state == "ready"] == ["lite0", "b", "c"]
    assert network.logits(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)  # still works
    assert zoo.get("a") is not network


def test_a_visitor_may_type_a_hub_id_where_it_is_allowed(
    hub: FakeHub, settings: Settings, tiny: bytes
):
    with pytest.raises(ModelError, match="does not take Hub ids"):
        Zoo(replace(settings, hub_ids=False)).add(TINY)
    names = ["thing", "thing", *(f"label {i}" for i in range(8))]
    few = CONFIG | {"num_classes": 10, "label_names": names}
    hub.put(TINY, weights=tiny, config=CONFIG)
    hub.put("timm/few.x", weights=weights_of("test_resnet", num_classes=10), config=few)
    zoo = Zoo(settings)
    network = zoo.get(zoo.add(f" https://huggingface.co/{TINY} "))
    assert (network.key, network.labels, network.size) == (TINY, imagenet_labels(), 160)
    assert (network.crop_pct, network.licence) == (0.95, "apache-2.0")
    assert zoo.get(zoo.add("timm/few.x")).labels[:3] == ("thing (0)", "thing (1)", "label 0")
    assert not Path(settings.cache_dir).exists()  # a visitor does not fill the disk
    for entry in filter(lambda entry: entry.repo, CATALOGUE):
        assert zoo.add(entry.repo) == entry.key


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["", "resnet50", "timm/../x", "timm/x/../y", "../x/y", "timm/..", "timm/a--b", "timm/"]
)
def test_what_is_no_id_of_timms_is_refused(settings: Settings, text: str):
    with pytest.raises(ModelError, match="not the Hub id"):
        Zoo(settings).add(text)
    with pytest.raises(ModelError, match="“other/x” is not one of timm’s own networks"):
        Zoo(settings).add("hf-hub:other/x")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "os.system"}, "no architecture that timm knows"),
        ({"architecture": "resnet18", "num_classes": 777}, "does not name its 777 classes"),
        ({"architecture": "resnet18", "num_classes": 0}, "not a classifier"),
        ({"architecture": "resnet18", "pretrained_cfg": {}}, "how to prepare a photo"),
        ({"architecture": "resnet18"}, "do not fit its architecture"),
    ],
)
def test_a_typed_network_that_will_not_do(
    hub: FakeHub, settings: Settings, tiny: bytes, changes: dict, sentence: str
):
    hub.put(TINY, weights=tiny, config=CONFIG | changes)
    zoo = Zoo(settings)
    with pytest.raises(ModelError, match=sentence):
        zoo.get(zoo.add(TINY))


def test_a_typed_network_too_large_or_pickled_is_not_fetched(
    hub: FakeHub, settings: Settings, tiny: bytes
):
    repo = hub.put(TINY, weights=tiny, config=CONFIG)
    repo.announced_size = 601_000_000
    hub.put("timm/pickled.x", config=CONFIG, **{"pytorch_model.bin": tiny})
    zoo = Zoo(settings)
    with pytest.raises(ModelError, match="601 MB and the limit is 600 MB"):
        zoo.get(zoo.add(TINY))
    with pytest.raises(ModelError, match="safetensors"):
        zoo.get(zoo.add("timm/pickled.x"))
    assert hub.downloads == []


@pytest.mark.slow
def test_four_typed_networks_at_a_time(hub: FakeHub, settings: Settings, tiny: bytes):
    zoo = Zoo(settings)
    for number in range(5):
        hub.put(f"timm/n{number}.x", weights=tiny, config=CONFIG)
        zoo.get(zoo.add(f"timm/n{number}.x"))
    keys = [status.key for status in zoo.status()]
    assert keys[len(offered(settings)) :] == [f"timm/n{number}.x" for number in range(1, 5)]
    assert zoo.get("timm/n1.x").title == "n1.x"
    assert zoo.get("timm/n0.x").title == "n0.x"  # by a link to it, say
    keys = {status.key for status in zoo.status()}
    assert "timm/n1.x" in keys
    assert "timm/n2.x" not in keys  # the least used
    with pytest.raises(ModelError, match="timm’s own"):
        zoo.get("someone/else")
    with pytest.raises(ModelError, match="There is no network"):
        Zoo(replace(settings, hub_ids=False)).get("timm/n0.x")


@pytest.mark.slow
def test_a_typed_network_that_left_says_how_much_it_is_to_load_again(
    hub: FakeHub, settings: Settings, resnet18: bytes
):
    config = CONFIG | {"architecture": "resnet18"}
    for name in "ab":
        hub.put(f"timm/{name}.x", weights=resnet18, config=config)
    zoo = Zoo(replace(settings, model_mb=60))  # of 47 MB each
    new = zoo.add("timm/a.x")
    zoo.get(new)
    zoo.get(zoo.add("timm/b.x"))
    left = next(status for status in zoo.status() if status.key == new)
    assert (left.state, left.entry.megabytes) == ("on demand", 47)
    assert "(47 MB)" in left.message
    menu = {each["key"]: each["stands"] for each in Bar(zoo).networks()["networks"]}
    assert menu[new] == "loads when chosen (47\N{NO-BREAK SPACE}MB)"
    hub.stop()
    assert zoo.get(new).title == "a.x"  # its files are still here


def test_closing_stops_a_download(hub: FakeHub, settings: Settings, resnet18: bytes):
    entry = entry_for("timm/resnet18.mine", "resnet18", resnet18)
    repo = hub.put(entry.repo, weights=resnet18)
    repo.hold = threading.Event()
    zoo = Zoo(settings, [entry])
    zoo.request(entry.key)
    until(lambda: zoo.status()[0].progress > 0)
    zoo.close()
    repo.hold.set()
    until(lambda: zoo.status()[0].state == "failed")
    with pytest.raises(ModelError, match="shutting down"):
        zoo.get(entry.key)
    assert cached(settings) == []


def test_settings_come_from_the_environment(monkeypatch):
    assert from_environment({}) == Settings()
    given = from_environment(
        {"SEEING_WHY_STARTUP": "", "SEEING_WHY_HUB_IDS": "on", "HF_ENDPOINT": "http://h/"}
    )
    assert (given.startup, given.hub_ids, given.endpoint) == ((), True, "http://h")
    for name, value in {
        "SEEING_WHY_HUB_IDS": "perhaps",
        "SEEING_WHY_MODEL_MB": "-3",
        "SEEING_WHY_DEVICE": "toaster",
    }.items():
        with pytest.raises(OptionError, match=name):
            from_environment({name: value})
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)  # as where all devices are
    for name, taken in {"mps": True, "cuda:1": True, "xpu": False}.items():
        with nullcontext() if taken else pytest.raises(OptionError, match="cpu, cuda or mps"):
            assert from_environment({"SEEING_WHY_DEVICE": name}).device == name
    with pytest.raises(OptionError, match="SEEING_WHY_STARTUP"):
        Zoo(Settings(startup=("resnet51",)))
