"""Networks that whoever runs this brings along: from a folder, a file, the Hub, or code.

What is read from disk and the Hub is data: numbers, and a config.json. Code is run only where the
operator names it (`bring`), never for what a visitor says.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import timm
from torch import nn

from ..errors import ModelError, OptionError
from ..network import Network
from ..network.views import Size
from ..own import slug, wrap
from ..photo import read
from ..settings import Settings
from ..ways import Numbers
from . import assembly, checkpoint, configs, download
from .catalogue import BUNDLED
from .loaded import shared

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # as timm calls them
_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,96})?")
_OF_TIMM = re.compile(r"^(hf[-_]hub:)?(timm/)?")  # before an architecture of its own on the Hub
_PIECE = re.compile(r"-\d+-of-\d+\.")
_CODE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")

_from_hub: WeakValueDictionary[tuple[str, str], Network] = WeakValueDictionary()


def load(
    what: str | Path = BUNDLED,
    *,
    arch: str = "",
    labels: Sequence[str] | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    size: int | Size | None = None,
    head: str | None = None,
    thresholds: Sequence[float] | None = None,
    prefix: str | None = None,
    title: str = "",
) -> Network:
    """A network by its key ("lite0", "resnet50", …), or one of your own.

    what: a folder with timm's config.json and weights, as `timm.models.save_for_hf` writes it; a
    file of weights (safetensors, or a checkpoint of tensors: also Lightning's, fastai's and
    timm's), with a config.json beside it or `arch`, timm's name of its architecture; or the Hub id
    of a timm network, "anyone/their-network", with "@revision" behind it if need be. From the Hub
    the newest is taken, and what the cache holds where the Hub can't be reached. Names and shapes
    that timm itself knows to read are read so; without a config, positions of another size are
    resampled only if `size` is given.

    labels, mean, std, size, head, thresholds: as in `wrap`, where a config does not say it or says
    it wrong; head="none" for weights without a classifier. prefix: what stands before the names of
    the weights, where a checkpoint holds several networks. Nothing is ever unpickled freely. Raises
    ModelError with the reason if it can't be had, such as the name of the first weights that have
    another shape than the architecture's.
    """
    told = {
        "labels": labels, "mean": mean, "std": std, "size": size, "head": head,
        "thresholds": thresholds, "prefix": prefix, "title": title or None, "arch": arch or None,
    }  # fmt: skip
    told = {name: value for name, value in told.items() if value is not None}
    text = str(what)
    known = shared().key(download.bare(text)) if isinstance(what, str) else None
    if known:
        if told:
            raise OptionError(
                f"“{known}” is on the list, and is as it is: say {', '.join(told)} of a network of "
                "your own."
            )
        return shared().get(known)
    settings = shared().settings
    path = Path(text.removeprefix("local-dir:"))
    if path.exists():
        return _on_disk(path, told, settings)
    repo = isinstance(what, str) and _REPO.fullmatch(download.bare(text))
    if repo and path.suffix not in checkpoint.SUFFIXES:
        return _on_hub(download.bare(text), told, settings)
    raise ModelError(
        f"There is no network, folder or file “{_name(path)[:60]}”: give one that is there, the "
        f"Hub id of one, or one of {', '.join(each.key for each in shared().status())}."
    )


Brought = Network | nn.Module | str | Path


def bring(given: Iterable[Brought]) -> list[Network]:
    """The networks for a page: each handed over, or named as `named` takes it, and with a key of
    its own. Raises ModelError, OptionError, and whatever the operator's own code raises."""
    taken = {status.key for status in shared().status()}
    found: list[Network] = []
    for each in given:
        if isinstance(each, str) and shared().key(download.bare(each)):
            raise OptionError(f"“{each}” is on the page’s list already: name networks of your own.")
        if isinstance(each, str | Path):
            network = named(str(each), title=_free(_title(str(each)), taken))
        else:
            network = each if isinstance(each, Network) else wrap(each)
        if network in found:
            continue
        _check_for_a_page(network)
        if network.key in taken:
            raise OptionError(
                f"There is a network called “{network.title[:60]}” already: give this one another "
                "name, as wrap(…, title=…)."
            )
        taken.add(network.key)
        found.append(network)
    return found


def _check_for_a_page(network: Network) -> None:
    """Raises ExplainError where the page's questions can't be asked: it has photos and classes."""
    if network.head not in ("softmax", "sigmoid"):
        raise OptionError(
            f"{network.title} answers with no classes, which the page asks about: explain it in "
            "Python."
        )
    if network.transform is None and len(network.mean) != 3:
        raise OptionError(
            f"{network.title} takes {len(network.mean)} channels, and the page has photos: give "
            "wrap(…, transform=…) a function that makes them of a photo, or explain it in Python."
        )
    network.prepare(read(np.zeros((64, 64, 3), np.uint8)))


def named(text: str, **told: Any) -> Network:
    """A network as an operator names it: as `load` takes it, or code of the operator's own,
    "file.py:make", whose function hands over a network or a module. Never for a visitor's words."""
    code = _CODE.fullmatch(text)
    if not code:
        return load(text, **told)
    made = _made(code[1], code[2])
    return made if isinstance(made, Network) else wrap(made)


def _free(title: str, taken: set[str]) -> str:
    """The title, with a number behind it where another network has that one."""
    titles = (title, *(f"{title} {number}" for number in range(2, len(taken) + 3)))
    return next(each for each in titles if slug(each) not in taken)


def _made(file: str, name: str) -> Network | nn.Module:
    """What the function `name` of the operator's own file hands over, or what is there by name."""
    path = Path(file).resolve()
    if not path.is_file():
        raise ModelError(
            f"There is no file “{path.name}”: say where it is, as folder/file.py:make."
        )
    sys.path.insert(0, str(path.parent))  # what lies beside it can be imported, as in a script
    spec = importlib.util.spec_from_file_location(f"brought_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, name, None)
    if not callable(made) and not isinstance(made, Network):
        raise ModelError(f"{path.name} has no function “{name}”: name one that makes a network.")
    made = made if isinstance(made, Network | nn.Module) else made()
    if not isinstance(made, Network | nn.Module):
        raise ModelError(
            f"“{name}” of {path.name} hands over a {type(made).__name__}: let it return "
            "wrap(module, …)."
        )
    return made


def _title(what: str) -> str:
    """What to call a network by where it comes from."""
    path = Path(what.removeprefix("local-dir:"))
    if path.exists():
        return _name(path)
    return download.bare(what).partition("@")[0].rpartition("/")[2]


def _name(path: Path) -> str:
    """A folder's name, or a file's if that says anything."""
    path = path.absolute()
    if path.name in WEIGHTS:
        path = path.parent
    name = path.name
    while not path.is_dir() and name.endswith(checkpoint.SUFFIXES):  # .pth.tar
        name = name.rpartition(".")[0]
    return name


def _on_disk(path: Path, told: dict[str, Any], settings: Settings) -> Network:
    if path.suffix == ".py":
        raise ModelError(
            f"{path.name} is code: name its function as well, {path.name}:make, or wrap() what it "
            "makes."
        )
    path = path.parent if path.name == "config.json" else path
    title = told.get("title") or _name(path)
    file = _weights(path, title) if path.is_dir() else path
    config = file.with_name("config.json")
    about = {}
    if config.is_file() and "arch" not in told:
        about = download.as_config(config, title)
    return _built(about, file, title, told, settings)


def _weights(folder: Path, title: str) -> Path:
    """The file of weights in a folder: timm's names first, else the only one there is."""
    there = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    there = there or sorted(p for p in folder.iterdir() if p.suffix in checkpoint.SUFFIXES)
    if not there:
        raise ModelError(
            f"There are no weights in “{title}”: put model.safetensors there, beside config.json."
        )
    if any(_PIECE.search(each.name) for each in there):
        raise ModelError(
            f"The weights in “{title}” are cut into pieces ({there[0].name}, …): save them as one "
            "file, model.safetensors."
        )
    if len(there) > 1 and there[0].name not in WEIGHTS:
        names = ", ".join(each.name for each in there[:4])
        raise ModelError(f"There are several files of weights in “{title}” ({names}): name one.")
    return there[0]


def _on_hub(text: str, told: dict[str, Any], settings: Settings) -> Network:
    repo, _, revision = text.partition("@")
    about, commit = download.config(repo, settings, revision=revision or "main", own=True)
    known = _from_hub.get((repo, commit))
    plain = told.keys() <= {"title"}
    if plain and known is not None and told.get("title") in (None, known.title):
        return known
    file = _fetched(repo, commit, settings)
    title = told.get("title") or _title(repo)
    network = _built(about if "arch" not in told else {}, file, title, told, settings)
    if plain:
        _from_hub[repo, commit] = network
    return network


def _fetched(repo: str, commit: str, settings: Settings) -> Path:
    """The weights of a repository, under the first of timm's names that it has them by."""
    for name in WEIGHTS:
        try:
            return download.fetch(download.HubFile(repo, repo, name, commit, own=True), settings)
        except (download.Missing, download.Unreachable) as error:  # or the other one is kept here
            failure = error
    raise failure


def _built(
    about: dict[str, Any], file: Path, title: str, told: dict[str, Any], settings: Settings
) -> Network:
    """The network of a file of weights, as timm builds it after its config, or by its name."""
    saved = checkpoint.saved(file, title)
    prefix = told.get("prefix")
    tensors = checkpoint.tensors(saved, title, prefix)
    resized = bool(about) or "size" in told
    if not about:
        arch = told.get("arch") or saved.get("arch")
        arch = arch.strip() if isinstance(arch, str) else ""
        about = _config(_OF_TIMM.sub("", arch), title)
        if isinstance(args := saved.get("args"), argparse.Namespace):
            about = _trained(about, vars(args))
        names = assembly.blank(configs.described(about, title, own=True)).state_dict()
        tensors, prefix = checkpoint.unprefixed(tensors, names, title, prefix), ""
        about = _fitted(about, tensors, told)
    if "labels" in told:
        about = _unnamed(about)
    recipe = configs.described(about, title, own=True, said=told)
    names = assembly.blank(recipe).state_dict()
    tensors = checkpoint.unprefixed(tensors, names, title, prefix)
    remedy = "mend its config.json or arch"
    module = assembly.assemble(recipe, tensors, title, resized=resized, remedy=remedy)
    return wrap(
        module.to(settings.torch_device),
        told.get("labels", recipe.labels or None),
        mean=told.get("mean", recipe.mean),
        std=told.get("std", recipe.std),
        size=told.get("size", recipe.size),
        head=told.get("head", "auto" if recipe.head == "softmax" else recipe.head),
        thresholds=told.get("thresholds"),
        interpolation=recipe.interpolation,
        crop_pct=recipe.crop_pct,
        crop_mode=recipe.crop_mode,
        channels=len(recipe.mean),
        title=title,
        copy=False,
    )


def _unnamed(about: dict[str, Any]) -> dict[str, Any]:
    """The same without the names of its classes."""
    inner = about.get("pretrained_cfg")
    about = {name: value for name, value in about.items() if name not in ("label_names", "labels")}
    return about | {"pretrained_cfg": _unnamed(inner)} if isinstance(inner, dict) else about


def _config(arch: str, title: str) -> dict[str, Any]:
    """What timm itself says of an architecture, in the form of a config.json."""
    if not arch:
        raise ModelError(
            f"{title} does not say its architecture: give arch=…, as timm calls it, or put timm’s "
            "config.json beside the weights."
        )
    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), 2)
        hint = (
            f"try {' or '.join(f'“{each}”' for each in near)}" if near else "build, and wrap() it"
        )
        raise ModelError(f"timm knows no architecture “{arch[:60]}”: {hint}.")
    cfg = timm.get_pretrained_cfg(arch)
    cfg = cfg.to_dict() if cfg else {}
    about = {
        "input_size": (3, 224, 224),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    return {
        "architecture": arch,
        "num_classes": cfg.get("num_classes") or 1000,
        "pretrained_cfg": about | {k: v for k, v in cfg.items() if v is not None},
    }


def _trained(about: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
    """The same as timm's training was told to have it otherwise, whose checkpoints keep that."""
    cfg, size = about["pretrained_cfg"], args.get("input_size") or args.get("img_size")
    said = {name: args.get(name) for name in ("mean", "std", "interpolation", "crop_pct")}
    said["input_size"] = (cfg["input_size"][0], size, size) if isinstance(size, int) else size
    model = {"global_pool": args.get("gp"), "bn_eps": args.get("bn_eps")}
    model |= args.get("model_kwargs") or {}
    return about | {
        "model_args": {name: value for name, value in model.items() if value is not None},
        "pretrained_cfg": cfg | {name: value for name, value in said.items() if value},
    }


def _fitted(about: dict[str, Any], tensors: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The same with as many classes and channels as the weights have; where their classifier has a
    name of its own, or there is none, with as many classes as was said."""
    cfg = about["pretrained_cfg"]

    def sides(name: Any) -> tuple[int, ...]:
        first = name[0] if isinstance(name, list | tuple) and name else name
        return tuple(getattr(tensors.get(f"{first}.weight"), "shape", ()))

    classes, channels = sides(cfg.get("classifier")), sides(cfg.get("first_conv"))
    if classes:
        about = about | {"num_classes": classes[0]}
    elif told.get("head") == "none":
        about = about | {"num_classes": 0}
    elif "labels" in told:
        about = about | {"num_classes": len(told["labels"])}
    if len(channels) == 4 and channels[1] != cfg["input_size"][0]:
        size = (channels[1], *cfg["input_size"][1:])
        about = about | {
            "model_args": about.get("model_args", {}) | {"in_chans": channels[1]},
            "pretrained_cfg": cfg | {"input_size": size},
        }
    return about
