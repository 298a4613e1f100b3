"""The house keeps its shape: arrows point one way, from the page to the maths and to its parts."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import SERVED

ROOT = Path(__file__).parents[1]
#: An explanation shows itself in a notebook; what draws it is imported only then.
LAZY = ("explainers.explanation", "explainers.render.sheets")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files() -> dict[str, Path]:
    """Module -> its file, for the page and the maths."""
    found = [ROOT / "app.py", *(ROOT / "tabs").rglob("*.py"), *(ROOT / "explainers").rglob("*.py")]
    return {module_of(path): path for path in found}


def imports(module: str) -> Iterator[str]:
    """What a module imports, wherever in it: a module's name, or else that of its package."""
    path = files()[module]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            for each in node.names:
                inner = f"{base}.{each.name}"
                yield inner if inner in files() else base


@cache
def arrows() -> dict[str, frozenset[str]]:
    return {module: frozenset(imports(module)) for module in files()}


def loops(graph: dict[str, set[str]]) -> set[str]:
    """The modules that lie on a cycle: what is left when leaves are taken off, from both ends."""
    left = {node: {t for t in targets if t in graph} for node, targets in graph.items()}
    while True:
        aimed = set().union(*left.values())
        ends = {node for node, targets in left.items() if not targets or node not in aimed}
        if not ends:
            return set(left)
        left = {node: targets - ends for node, targets in left.items() if node not in ends}


@pytest.mark.slow
@pytest.mark.parametrize(("below", "above"), [("explainers", "gradio tabs app"), ("tabs", "app")])
def test_nothing_below_imports_what_is_above(below, above):
    for module, targets in arrows().items():
        if module.split(".")[0] == below:
            assert not {each.split(".")[0] for each in targets} & set(above.split()), module


def test_tabs_leave_tensors_to_the_maths():
    for module, targets in arrows().items():
        if module.split(".")[0] in ("app", "tabs"):
            assert not {each.split(".")[0] for each in targets} & {"torch", "timm", "cv2"}, module


def test_replicas_have_no_gradio():
    """Of which they show nothing: three seconds of a core for each of them at every start."""
    left, met = ["tabs.cluster.replica"], set()
    while left:
        module = left.pop()
        if module in files() and module not in met:
            met.add(module)
            left += [*arrows()[module], module.rpartition(".")[0]]
    assert {"tabs", "tabs.maps", "tabs.rail"} <= met
    for module in met:
        assert "gradio" not in {each.split(".")[0] for each in arrows()[module]}, module


def test_no_module_imports_itself_by_a_detour():
    house = {module: set(targets) for module, targets in arrows().items()}
    assert LAZY[1] in house[LAZY[0]]
    house[LAZY[0]].remove(LAZY[1])
    assert loops(house) == set()


def test_parts_do_not_import_their_own_face():
    for module, targets in arrows().items():
        package = module.rpartition(".")[0]
        if package not in ("", "tabs") and files()[module].name != "__init__.py":
            assert package not in targets, f"{module} imports {package}: import the part itself"


def test_a_detour_is_found():
    assert loops({"a": {"b"}, "b": {"c"}, "c": {"b", "x"}, "d": {"a"}}) == {"b", "c"}
    assert loops({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()


def test_every_script_can_be_imported():
    """Also those that run once in a season, and whose imports have moved meanwhile."""
    scripts = [
        path for name in ("assets", "benchmarks", "training") for path in (ROOT / name).glob("*.py")
    ]
    for path in scripts:
        importlib.import_module(module_of(path))
    assert len(scripts) > 40


def test_no_test_has_a_fixture_that_only_sounds_like_the_page():
    """Those that take it would wait for the page's process, and be missing among quick tests."""
    own = re.compile(r"@pytest\.fixture.*\ndef (\w+)")
    for path in Path(__file__).parent.glob("test_*.py"):
        assert not SERVED.intersection(own.findall(path.read_text("utf-8"))), path.name


def test_what_moves_without_end_moves_in_steps():
    """Sixty pictures a second of a map that is waited for took most of a core from its making."""
    sheets = [path.read_text("utf-8") for path in (ROOT / "tabs").rglob("*.css")]
    endless = re.findall(r"animation: ([^;}]*infinite)", "".join(sheets))
    assert len(endless) >= 3
    assert all("steps(" in each for each in endless), endless


def test_text_is_as_large_as_the_browser_is_told_to_make_it():
    """In rem, but for charts, whose units are their own."""
    for path in (ROOT / "tabs").rglob("*.css"):
        rules = re.findall(r"([^{}]*)\{([^{}]*)\}", path.read_text("utf-8"))
        fixed = [name for name, body in rules if re.search(r"font(-size)?: [^;]*\dpx", body)]
        assert all(name.strip().endswith(" text") for name in fixed), (path.name, fixed)


@pytest.mark.slow
def test_words_have_apostrophes_and_no_marks_of_typewriters():
    """Whatever is shown, or read out; but for docstrings and comments, which are not."""
    straight = re.compile(r"[A-Za-z)]'[a-z]")
    for module, path in files().items():
        tree = ast.parse(path.read_text("utf-8"))
        said = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert id(node) in said or not straight.search(node.value), (module, node.value)
    for path in [*(ROOT / "tabs").rglob("*.js"), *(ROOT / "tabs").rglob("*.html")]:
        text = re.sub(r"//.*", "", path.read_text("utf-8"))
        assert not straight.findall(text), (path.name, straight.findall(text))
