"""What a method says of itself holds, and one that says little is never run unasked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from explainers import METHODS, Network, OptionError, Question, ask, read
from explainers.registry import Method, register
from explainers.scores.comparison import applicable
from tabs import page
from tabs.parts.fields import Choice
from tests import nets

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"

#: Photos through the network: the most that a method of that cost takes, by its own defaults.
PASSES = {"one pass": 2, "dozens": 60, "hundreds": 10_000}
BUDGET = {"maps.methods": 8, "compare.methods": 120}  # of all that is ticked when the page opens
DEAREST = max(BUDGET.values())


def spent(network: Network, method: Method) -> int:
    """Photos that go through the network for one map, a finished one or too dear already."""
    count = 0

    def note(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal count
        count += len(inputs[0])

    view = network.view(torch.randn(1, 3, network.size, network.size))  # never seen before
    asked = Question(network, view, (1,), network.last)
    hook = network.module.register_forward_pre_hook(note)
    try:
        for _ in method.run(asked):
            if count > DEAREST:
                break
    finally:
        hook.remove()
    return count


def offered(network: Network) -> dict[str, set[str]]:
    """The page's settings that offer methods: their name -> the methods ticked from the start."""
    found = {}
    for tab in page.TABS:
        for field in tab.settings:
            if isinstance(field, Choice):
                keys = {value for _, value in field.offered(network)}
                if keys & METHODS.keys():
                    first = field.first(network)
                    ticked = first if isinstance(first, list) else [first]
                    found[f"{tab.key}.{field.key}"] = set(ticked) & METHODS.keys()
    return found


@pytest.fixture
def score_cam() -> Iterator[str]:
    """A stranger's method: it looks like a CAM, and asks the network once for every channel."""

    @register("scorecam", title="Score-CAM", family="cam", caption="New.", paper="Wang et al. 2020")
    def run(asked: Question) -> Iterator:
        network = asked.network
        maps = network.recorded(asked.view, asked.layer).activations[asked.layer].detach()[0]
        for some in maps.split(16):
            shown = torch.nn.functional.interpolate(some[:, None], asked.view.tensor.shape[2:])
            logits = network.logits(asked.view.tensor * shown)
        yield asked.answer("scorecam", maps[:1], logits[:1], 0.0)

    yield "scorecam"
    del METHODS["scorecam"]


@pytest.mark.slow
def test_a_method_takes_no_more_passes_than_it_says(resnet18):
    for key, method in METHODS.items():
        taken = spent(nets.suited(resnet18, key), method)
        assert 1 <= taken <= PASSES[method.cost], key


@pytest.mark.slow
def test_what_is_ticked_by_default_stays_within_its_budget_whoever_registers(
    resnet18, vgg16, score_cam
):
    assert spent(vgg16, METHODS[score_cam]) > DEAREST  # a pass for each of its 128 channels
    assert score_cam in applicable(slow=True)
    assert score_cam not in applicable()
    costs = {key: spent(resnet18, METHODS[key]) for key in applicable(resnet18)}
    widgets = offered(resnet18)
    assert widgets
    for name, ticked in widgets.items():
        assert score_cam not in ticked, name
        assert sum(costs[key] for key in ticked) <= BUDGET.get(name, DEAREST), name


def test_a_key_is_given_once(score_cam):
    before = METHODS[score_cam]
    with pytest.raises(OptionError, match="“scorecam” already"):
        register(score_cam, title="Mine", family="cam", caption=".", paper=".")(before.run)
    assert METHODS[score_cam] is before


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"default": True}, "hundreds of passes"),
        ({"default": True, "cost": "dozens"}, "dozens of passes"),
        ({"cost": "free"}, "one pass, dozens, hundreds"),
    ],
)
def test_a_slow_method_is_not_shown_unasked(facts, sentence):
    with pytest.raises(OptionError, match=sentence):
        register("mine", title="M", family="cam", caption=".", paper=".", **facts)(lambda q: None)
    assert "mine" not in METHODS


def test_methods_stand_in_their_places_whatever_was_imported_first():
    places = [method.place for method in METHODS.values()]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    register("first", title="M", family="cam", caption=".", paper=".", place=0)(lambda q: None)
    try:
        assert next(iter(METHODS)) == "first"
    finally:
        del METHODS["first"]


@pytest.mark.slow
def test_the_class_matters_where_a_method_says_so(lite0):
    """Maps of two classes in one photo: nearly the same where the class is said not to matter."""
    view = lite0.prepare(read(EXAMPLES / "cat-and-espresso.jpg"))
    pair = tuple(lite0.resolve(name) for name in ("Egyptian cat", "espresso"))
    for key, method in METHODS.items():
        if method.cost == "one pass" and method.suits(lite0):
            *_, found = ask(Question(lite0, view, pair, lite0.last), key)
            alike = float(torch.corrcoef(found.values.flatten(1))[0, 1])
            assert (alike < 0.7) == method.class_dependent, key
