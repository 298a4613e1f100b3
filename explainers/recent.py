"""What was found lately, kept to be found again: one memory for all, bounded in bytes.

Every `Recent` is a drawer of it. Whatever was used least, in any of the drawers, leaves when the
sum passes the bound (SEEING_WHY_CACHE_MB), and what came of a network leaves with that network.
While large work is under way (`room`), up to half of that is its own.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import threading
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from . import cores
from .room import Claim, Room
from .settings import MEGABYTE, from_environment
from .sizes import NONE, Apart, Owner, belongings, pieces

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Place = tuple[int, Hashable]  # a drawer and a key in it


@dataclass
class _Entry:
    """owners: whose leaving ends it. weak: the value's fields that hold an owner, which is not
    kept alive by what came of it. large: address -> bytes; small: bytes of the rest."""

    value: Any
    owners: frozenset[weakref.ref]
    weak: dict[str, weakref.ref]
    large: dict[int, int]
    small: int


class Memory:
    """Entries in the order of their use, at most `limit` bytes of them; safe for threads.

    limit: None for what the settings say. A piece that several entries share counts once, and what
    belongs to an entry's own network does not count: SEEING_WHY_MODEL_MB bounds that.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._entries: OrderedDict[Place, _Entry] = OrderedDict()
        self._shared: dict[int, int] = {}  # address -> how many entries hold what is there
        self._of: defaultdict[weakref.ref, set[Place]] = defaultdict(set)  # what came of an owner
        self._bytes = 0
        self.evicted = 0  # entries that left to make room
        self._owned: dict[weakref.ref, tuple[weakref.ref, frozenset[int]]] = {}
        self._dead: deque[weakref.ref] = deque()
        self.room = Room(lambda: self.limit)
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Bytes."""
        if self._limit is None:
            self._limit = from_environment().cache_mb * MEGABYTE
        return self._limit

    @property
    def bytes(self) -> int:
        """What is kept now."""
        with self._lock:
            self._bury()
            return self._bytes

    def get(self, place: Place) -> Any:
        """The value; raises KeyError if it was never there or has left."""
        with self._lock:
            self._bury()
            entry = self._entries[place]
            self._entries.move_to_end(place)
        if not entry.weak:
            return entry.value
        owners = {name: owner() for name, owner in entry.weak.items()}
        if None in owners.values():
            raise KeyError(place)
        return _with(entry.value, owners)

    def keep(self, place: Place, value: Any, owner: Any = None, most: int | None = None) -> None:
        """Keep a value, in place of what was there; one that is larger than all room is not kept.

        owner: the network, or any other object, that it came of. most: how many entries its drawer
        may have.
        """
        weak = {
            field.name: weakref.ref(each)
            for field in (dataclasses.fields(value) if dataclasses.is_dataclass(value) else ())
            if isinstance(each := getattr(value, field.name), Owner)
        }
        if weak:
            value = _with(value, dict.fromkeys(weak))
        owners = frozenset([*weak.values(), *([weakref.ref(owner)] if owner is not None else [])])
        apart = NONE.union(*(self._belongings(each) for each in owners))
        large, small = pieces((place, value), apart)
        entry = _Entry(value, owners, weak, large, small)
        with self._lock:
            self._drop(place)
            if sum(large.values()) + small <= self._room():
                self._add(place, entry)
                self._make_room(place[0], most)
            self._bury()

    def take(self, size: int) -> Generator[None, None, Claim]:
        """Room for the bytes that large work holds while it is under way, for as long as the
        returned claim lives; yields while there is none. Entries leave for it, but never for more
        than half of all bytes."""
        claim = yield from self.room.take(size)
        with self._lock:
            self._bury()
            self._make_room(0, None)
        return claim

    def spare(self, size: int) -> None:
        """Let so many bytes go of what was used least; half of the room may stay filled."""
        with self._lock:
            self._bury()
            self._shrink(max(self.limit // 2, self._bytes - size))

    def forget(self, *owners: Any) -> None:
        """Drop all that came of these."""
        gone = {weakref.ref(owner) for owner in owners}
        with self._lock:
            self._bury()
            self._drop_all_of(gone)

    def drop(self, place: Place) -> None:
        """Drop one entry, if it is there."""
        with self._lock:
            self._drop(place)

    def count(self, drawer: int) -> int:
        """How many entries a drawer has."""
        with self._lock:
            self._bury()
            return sum(place[0] == drawer for place in self._entries)

    def _add(self, place: Place, entry: _Entry) -> None:
        self._entries[place] = entry
        for owner in entry.owners:
            self._of[owner].add(place)
        self._bytes += entry.small
        for address, size in entry.large.items():
            held = self._shared.get(address, 0)
            self._shared[address] = held + 1
            self._bytes += 0 if held else size

    def _drop(self, place: Place) -> None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return
        for owner in entry.owners:
            self._of[owner].remove(place)
            if not self._of[owner]:
                del self._of[owner]
        self._bytes -= entry.small
        for address, size in entry.large.items():
            self._shared[address] -= 1
            if not self._shared[address]:
                del self._shared[address]
                self._bytes -= size

    def _make_room(self, drawer: int, most: int | None) -> None:
        if most is not None:
            mine = [place for place in self._entries if place[0] == drawer]
            for place in mine[: max(0, len(mine) - most)]:
                self._drop(place)
                self.evicted += 1
        self._shrink(self._room())

    def _shrink(self, most: int) -> None:
        while self._bytes > most:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _room(self) -> int:
        """Bytes that there are for entries just now."""
        return self.limit - min(self.room.held, self.limit // 2)

    def _drop_all_of(self, gone: set[weakref.ref]) -> None:
        for place in [place for owner in gone for place in self._of.get(owner, ())]:
            self._drop(place)

    def _belongings(self, owner: weakref.ref) -> frozenset[int]:
        with self._lock:
            known = self._owned.get(owner)
        if known is None:
            found = owner()

            def dies(_: object) -> None:  # anywhere, even amid our own work: no lock is waited for
                self._dead.append(owner)
                if self._lock.acquire(blocking=False):
                    try:
                        self._bury()
                    finally:
                        self._lock.release()

            known = weakref.ref(found, dies), belongings(found)
            with self._lock:
                self._owned.setdefault(owner, known)
        return known[1]

    def _bury(self) -> None:
        """Drop what came of those that died since."""
        while self._dead:
            owner = self._dead.popleft()
            self._drop_all_of({owner})
            self._owned.pop(owner, None)


def _with(value: Any, fields: dict[str, Any]) -> Any:
    """A shallow copy of a record, frozen or not, with other values in some fields."""
    made = copy.copy(value)
    for name, each in fields.items():
        object.__setattr__(made, name, each)
    return made


memory = Memory()
_serials = itertools.count()


def forget(*owners: Any) -> None:
    """Drop everything that came of these networks or modules."""
    memory.forget(*owners)


class Recent(Apart, Generic[Key, Value]):
    """One drawer of the memory: results of one kind by their keys.

    most: how many entries it may have, where bytes are not what matters. Whoever was given a value
    may go on using it after it has left.
    """

    def __init__(self, most: int | None = None, *, within: Memory = memory) -> None:
        self._most, self._memory, self._serial = most, within, next(_serials)
        self._turns: weakref.WeakValueDictionary[Key, Any] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: Key) -> Value:
        return self._memory.get((self._serial, key))

    def __setitem__(self, key: Key, value: Value) -> None:
        self.keep(key, value)

    def __len__(self) -> int:
        return self._memory.count(self._serial)

    def get(self, key: Key) -> Value | None:
        """The value, or None if it was never there or has left."""
        try:
            return self[key]
        except KeyError:
            return None

    def keep(self, key: Key, value: Value, of: Any = None) -> Value:
        """Keep a value that came `of` this network or module, and leaves with it."""
        self._memory.keep((self._serial, key), value, of, self._most)
        return value

    def drop(self, key: Key) -> None:
        """Let go of it, if it is there."""
        self._memory.drop((self._serial, key))

    def found(self, key: Key, find: Callable[[], Value], of: Any = None) -> Value:
        """The value, found now if it is not there: however many ask at a time, it is found once."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.RLock())
        with cores.held(turn):
            value = self.get(key)
            return self.keep(key, find(), of) if value is None else value
