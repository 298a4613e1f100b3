"""The networks in memory: loaded once each, shared by all, the least used ones leaving first."""

from __future__ import annotations

import itertools
import logging
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import torch

from ..errors import ModelError, OptionError
from ..network import Network
from ..network.program import Program
from ..recent import forget
from ..settings import MEGABYTE, Settings, from_environment
from . import assembly, checkpoint, hub_ids, sources
from .catalogue import BUNDLED, Entry, given, offered, recipe
from .sources import Bundled, Given, Hub

State = Literal["ready", "loading", "on demand", "failed"]

MOST_EXTRAS = 4  # networks typed by visitors, at one time
FIRST_REST, LONGEST_REST = 5.0, 300.0  # seconds before a failed load is tried again

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """How a network stands. progress: 0 to 1. message: a sentence, empty when it is ready."""

    entry: Entry
    state: State
    progress: float
    message: str

    @property
    def key(self) -> str:
        return self.entry.key

    @property
    def title(self) -> str:
        return self.entry.title


@dataclass
class _Slot:
    """A network's place in the Zoo, guarded by the Zoo's lock (`done` and `entry` are only ever
    replaced).

    failure: why it can't be had, as text: an exception would keep its frames' tensors alive.
    """

    entry: Entry
    network: Network | None = None
    job: Future[Network] | None = None
    queued: bool = False
    done: tuple[int, int] = (0, 0)
    failure: str = ""
    failures: int = 0
    rests_until: float = 0.0
    used: int = 0
    folder: tempfile.TemporaryDirectory | None = field(default=None, repr=False)

    @property
    def loading(self) -> bool:
        return self.job is not None or self.queued

    @property
    def rests(self) -> bool:
        """Did it fail so lately that trying again would only cost time?"""
        return bool(self.failure) and time.monotonic() < self.rests_until

    def leave(self) -> None:
        """Let go of the network, and of all that was found with it."""
        if self.network is not None:
            forget(self.network, self.network.module)
        self.network = None


class Zoo:
    """Loads networks when they are asked for. All methods may be called from any thread.

    A network that leaves the Zoo keeps working for whoever still holds it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        catalogue: Sequence[Entry] | None = None,
        own: Sequence[Network] = (),
    ) -> None:
        """own: networks that stand first, and never leave. Raises OptionError if the startup set
        names a network that is not in the catalogue."""
        self.settings = settings or Settings()
        catalogue = offered(self.settings) if catalogue is None else catalogue
        self._slots = {each.key: _Slot(given(each), network=each) for each in own}
        self._slots |= {entry.key: _Slot(entry) for entry in catalogue}
        self.first = own[0].key if own else BUNDLED
        self._catalogue = {entry.repo: entry.key for entry in catalogue if entry.repo}
        self._listed = frozenset(self._slots)
        self._lock = threading.Lock()
        self._ticks = itertools.count(1)
        self._closed = False
        self.evicted = 0  # networks that left to make room
        for key in self.settings.startup:
            if key not in self._slots:
                raise OptionError(
                    f"SEEING_WHY_STARTUP names “{key[:40]}”: choose from {', '.join(self._slots)}."
                )

    def get(self, key: str | None = None) -> Network:
        """The network (by default `first`), loaded now if it has to be: however many ask at a time,
        it is loaded once. A Hub id that might be typed is taken in as by `add`.

        Raises ModelError if it can't be had; after a failure, at once for a few seconds.
        """
        with self._lock:
            slot = self._find(self.first if key is None else key)
            slot.used = next(self._ticks)
            if slot.network is not None:
                return slot.network
            job, mine = slot.job, slot.job is None
            if job is None:
                if slot.rests:
                    raise ModelError(slot.failure)
                job = slot.job = Future()
        if mine:
            self._run(slot, job)
        return job.result()

    def key(self, text: str) -> str | None:
        """The key of a network of the catalogue, by that or by its Hub id; else None."""
        return text if text in self._listed else self._catalogue.get(text)

    def request(self, key: str) -> None:
        """Have a network loaded in the background, unless that is done or under way."""
        with self._lock:
            slot = self._find(key)
            if slot.network is not None or slot.loading or slot.rests:
                return
            slot.queued = True
        self._in_background([key])

    def start(self) -> None:
        """Have what needs no Hub, and then the startup set, loaded, in order, in the background;
        nothing where that set is empty."""
        if not self.settings.startup:
            return
        with self._lock:
            here = [key for key, slot in self._slots.items() if slot.entry.here]
            keys = list(dict.fromkeys([*here, *self.settings.startup]))
            for key in keys:
                slot = self._slots[key]
                slot.queued = slot.network is None and not slot.rests
        self._in_background(keys)

    def add(self, text: str) -> str:
        """Take in a network by its Hub id (timm/…), load it in the background, return its key.

        The id is checked here; what is wrong with the network itself shows in `status` and `get`.
        Beyond four such networks the least used one leaves. Raises ModelError; also where the
        settings forbid Hub ids.
        """
        if not self.settings.hub_ids:
            raise ModelError("This server does not take Hub ids: choose a network from the list.")
        with self._lock:
            key = self._taken(text)
        self.request(key)
        return key

    def status(self) -> tuple[Status, ...]:
        """How each network stands: the catalogue in its order, then those typed by visitors."""
        with self._lock:
            return tuple(_status(slot) for slot in self._slots.values())

    @property
    def bytes(self) -> int:
        """Memory of all networks that are loaded."""
        with self._lock:
            return sum(slot.network.bytes for slot in self._slots.values() if slot.network)

    def close(self) -> None:
        """Stop what is being downloaded and let go of every network."""
        with self._lock:
            self._closed = True
            slots = list(self._slots.values())
            for slot in slots:
                slot.queued = False
                slot.leave()
        for slot in slots:
            _sweep(slot)

    def _find(self, key: str) -> _Slot:
        if self._closed:
            raise ModelError("The page is shutting down: open it again in a minute.")
        if key not in self._slots and "/" in key and self.settings.hub_ids:
            key = self._taken(key)  # typed on another machine, before a restart, before it left
        if key not in self._slots:
            raise ModelError(
                f"There is no network “{key[:60]}”: choose one of {', '.join(self._slots)}."
            )
        return self._slots[key]

    def _taken(self, text: str) -> str:
        """The key of the network of that Hub id, which has its place from now on."""
        entry = hub_ids.entry(text)
        key = self._catalogue.get(entry.repo, entry.key)
        if key not in self._slots:
            self._drop_an_extra()
            self._slots[key] = _Slot(entry, used=next(self._ticks))
        return key

    def _drop_an_extra(self) -> None:
        extras = [key for key in self._slots if key not in self._listed]
        if len(extras) < MOST_EXTRAS:
            return
        idle = [key for key in extras if not self._slots[key].loading]
        if not idle:
            raise ModelError(f"{len(extras)} networks are being fetched: try again in a minute.")
        left = self._slots.pop(min(idle, key=lambda key: self._slots[key].used))
        left.leave()
        _sweep(left)

    def _in_background(self, keys: list[str]) -> None:
        def work() -> None:
            for key in keys:
                try:
                    self.get(key)
                except ModelError as error:
                    _log.info("%s", error)

        threading.Thread(target=work, name="zoo", daemon=True).start()

    def _run(self, slot: _Slot, job: Future[Network]) -> None:
        """Load and hand the outcome to everyone who waits for `job`."""
        network, failure = None, ""
        try:
            network = self._load(slot)
        except ModelError as error:
            failure = str(error)
        except Exception as error:
            _log.exception("%s could not be loaded", slot.entry.key)
            failure = f"{slot.entry.title} could not be loaded: choose another network."
            if isinstance(error, MemoryError) or "allocate" in str(error):  # as torch says it
                failure = f"There is no memory for {slot.entry.title}: choose a smaller network."
        with self._lock:
            slot.job, slot.queued, slot.failure, slot.done = None, False, failure, (0, 0)
            if network is None:
                rest = min(FIRST_REST * 2**slot.failures, LONGEST_REST)
                slot.failures, slot.rests_until = slot.failures + 1, time.monotonic() + rest
            elif not self._closed:
                slot.network, slot.failures = network, 0
                self._make_room(slot)
        if network is None:
            job.set_exception(ModelError(failure))
        else:
            job.set_result(network)

    def _make_room(self, newest: _Slot) -> None:
        held = [slot for slot in self._slots.values() if slot.network is not None]
        total = sum(slot.network.bytes for slot in held)
        for slot in sorted(held, key=lambda slot: slot.used):
            if total <= self.settings.model_mb * MEGABYTE:
                return
            if slot is not newest and not isinstance(slot.entry.source, Bundled | Given):
                total -= slot.network.bytes
                slot.leave()
                self.evicted += 1

    def _load(self, slot: _Slot) -> Network:
        entry, settings = slot.entry, self.settings
        folder, memory = None, None
        if entry.key not in self._listed:  # typed: its files go where they can be removed again
            slot.folder = slot.folder or tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = slot.folder.name
        if isinstance(entry.source, Hub) and entry.source.by_config:
            made, commit = hub_ids.inspect(entry, settings, folder)
            entry = replace(entry, source=replace(entry.source, revision=commit))
        else:  # an architecture of ours, which need not be tried on each machine
            made, memory = recipe(entry), torch.channels_last

        def progress(done: int, total: int) -> None:
            if self._closed:
                raise ModelError("The page is shutting down: open it again in a minute.")
            slot.done = (done, total)

        path = sources.fetch(entry.source, entry.title, settings, progress, keep_in=folder)
        if not entry.megabytes:
            size = max(1, round(path.stat().st_size / MEGABYTE))
            slot.entry = replace(entry, megabytes=size)
        tensors = checkpoint.read(path, entry.title)
        module = assembly.assemble(made, tensors, entry.title, in_order=entry.source.in_order)
        network = Network.from_recipe(
            module,
            made,
            key=entry.key,
            title=entry.title,
            device=settings.torch_device,
            memory=memory,
        )
        network.program = Program()
        return network


def _status(slot: _Slot) -> Status:
    entry = slot.entry
    if slot.network is not None:
        return Status(entry, "ready", 1.0, "")
    if slot.loading:
        done, total = slot.done
        if not total:
            return Status(entry, "loading", 0.0, f"{entry.title} is about to be loaded.")
        amount = f"{done // MEGABYTE} of {total // MEGABYTE} MB"
        return Status(entry, "loading", done / total, f"{entry.title}: {amount} are here.")
    if slot.failure:
        return Status(entry, "failed", 0.0, slot.failure)
    size = f" ({entry.megabytes} MB)" if entry.megabytes else ""
    return Status(entry, "on demand", 0.0, f"{entry.title} loads when first chosen{size}.")


def _sweep(slot: _Slot) -> None:
    if slot.folder is not None:
        slot.folder.cleanup()
        slot.folder = None


@cache
def shared() -> Zoo:
    """This process's Zoo, with the settings from the environment."""
    return Zoo(from_environment())
