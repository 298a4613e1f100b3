"""What whoever runs the page may choose, read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .errors import OptionError

MEGABYTE = 1_000_000
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True)
class Settings:
    """Each field, the environment variable that sets it, and what it means.

    networks: SEEING_WHY_NETWORKS, comma-separated: networks of the operator, which stand first;
        each a folder, a file of weights, a Hub id, or code as file.py:make.
    startup: SEEING_WHY_STARTUP, comma-separated keys of the networks that are loaded after the
        start, behind those that came along; empty: none, each when it is first asked for.
    hub_ids: SEEING_WHY_HUB_IDS, "on" or "off": may a visitor type the Hub id of another network?
    model_mb: SEEING_WHY_MODEL_MB, memory for networks in MB; past it the least used ones leave.
    cache_mb: SEEING_WHY_CACHE_MB, memory for results in MB, so that nothing is computed twice; past
        it what was used least leaves.
    hub_file_mb: SEEING_WHY_HUB_FILE_MB, the largest weights file in MB that is taken from the Hub.
    device: SEEING_WHY_DEVICE, "cpu", "cuda", "cuda:1", "mps", ...; "auto" is CUDA where there is
        one, and else the processor.
    weights_repo: SEEING_WHY_WEIGHTS, the Hub id of a copy of weights/ ("user/name"), asked before
        the files that are here; empty for none.
    coco_vgg: SEEING_WHY_COCO_VGG, the checkpoint of the survey author's network: a local file, or
        the Hub id of a repository with model.safetensors; empty, and the network is not offered.
    threads: SEEING_WHY_THREADS, on how many one request computes; 0 leaves it to `cores`.
    endpoint: HF_ENDPOINT, the Hub to ask.
    cache_dir: HF_HUB_CACHE, else hub/ in HF_HOME, else None: huggingface_hub's own choice.
    hub_timeout: SEEING_WHY_HUB_TIMEOUT, seconds the Hub has to answer a first question.
    """

    networks: tuple[str, ...] = ()
    startup: tuple[str, ...] = ("resnet50", "resnet18")
    hub_ids: bool = False
    model_mb: int = 1600
    cache_mb: int = 512
    hub_file_mb: int = 600
    device: str = "auto"
    weights_repo: str = ""
    coco_vgg: str = ""
    threads: int = 0
    endpoint: str = "https://huggingface.co"
    cache_dir: str | None = None
    hub_timeout: int = 5

    @property
    def torch_device(self) -> str:
        """The device that "auto" stands for here, or the one named."""
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises OptionError that names the variable with a bad value."""
    given, default = environ.get, Settings()
    home = given("HF_HOME")
    return Settings(
        networks=_listed(given("SEEING_WHY_NETWORKS", "")),
        startup=_listed(given("SEEING_WHY_STARTUP", ",".join(default.startup))),
        hub_ids=switch(environ, "SEEING_WHY_HUB_IDS", default.hub_ids),
        model_mb=whole(environ, "SEEING_WHY_MODEL_MB", default.model_mb),
        cache_mb=whole(environ, "SEEING_WHY_CACHE_MB", default.cache_mb),
        hub_file_mb=whole(environ, "SEEING_WHY_HUB_FILE_MB", default.hub_file_mb),
        device=_device(given("SEEING_WHY_DEVICE", default.device)),
        weights_repo=given("SEEING_WHY_WEIGHTS", "").strip(),
        coco_vgg=given("SEEING_WHY_COCO_VGG", "").strip(),
        threads=whole(environ, "SEEING_WHY_THREADS", default.threads, least=0),
        endpoint=(given("HF_ENDPOINT") or default.endpoint).rstrip("/"),
        cache_dir=given("HF_HUB_CACHE") or (os.path.join(home, "hub") if home else None),
        hub_timeout=whole(environ, "SEEING_WHY_HUB_TIMEOUT", default.hub_timeout),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def switch(environ: Mapping[str, str], name: str, default: bool) -> bool:
    """A setting that is on or off; raises OptionError."""
    value = environ.get(name, YES[0] if default else "").strip().lower()
    if value not in YES + NO:
        raise OptionError(f"{name} is neither on nor off: set it to 1 or 0.")
    return value in YES


def whole(environ: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    """A setting that is a whole number; raises OptionError."""
    value = environ.get(name, "").strip() or str(default)
    if not value.isdecimal() or not least <= int(value) <= 10**6:
        raise OptionError(f"{name} must be a whole number of {least} or more, such as {default}.")
    return int(value)


def _device(value: str) -> str:
    value = value.strip().lower() or "auto"
    if value != "auto" and not _there(value):
        raise OptionError(
            f"SEEING_WHY_DEVICE must be auto, cpu, cuda or mps, and cannot be “{value[:20]}” here."
        )
    return value


def _there(device: str) -> bool:
    """Is it a device that maps are made on, and is there such a one?"""
    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps"):
            return False
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True
