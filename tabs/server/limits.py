"""How much one visitor, one address and all of them together may ask for."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from pathlib import Path

log = logging.getLogger("seeing_why")

BURST = 10.0  # seconds of the rate that may come at once
KNOWN = 20_000  # visitors or addresses remembered
SWEEP = 0.02  # of what may lie on the disk: so much may arrive between two looks at it


class Rate:
    """So many a minute for each, some of them at once; safe for threads."""

    def __init__(self, a_minute: int) -> None:
        self.a_second = a_minute / 60
        self.most = max(1.0, self.a_second * BURST)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many, and when
        self._lock = threading.Lock()

    def wait(self, who: str) -> int:
        """Take one; 0 if there was one, else in how many seconds there will be one."""
        now = time.monotonic()
        with self._lock:
            left, since = self._left.pop(who, (self.most, now))
            left = min(self.most, left + (now - since) * self.a_second)
            taken = left >= 1
            self._left[who] = (left - taken, now)
            while len(self._left) > KNOWN:
                self._left.popitem(last=False)
        return 0 if taken else math.ceil((1 - left) / self.a_second)


class Uploads:
    """Uploads in flight and on disk. folder: where they lie. most_bytes: of all together; past it
    the oldest go. at_once: how many may arrive at a time, at most half of them from one address."""

    def __init__(self, folder: Path, most_bytes: int, at_once: int) -> None:
        self.folder, self.most_bytes, self.at_once = folder, most_bytes, at_once
        self._from: dict[str, int] = {}
        self._since = math.inf  # bytes that arrived since the last look
        self._lock = threading.Lock()

    @property
    def arriving(self) -> int:
        """How many arrive just now."""
        with self._lock:
            return sum(self._from.values())

    def begin(self, address: str) -> bool:
        """May another one from that address arrive? Then `end` must follow."""
        with self._lock:
            mine = self._from.get(address, 0)
            if sum(self._from.values()) >= self.at_once or mine >= max(1, self.at_once // 2):
                return False
            self._from[address] = mine + 1
            return True

    def end(self, address: str, size: int) -> bool:
        """It has arrived, with so many bytes, or has not: is it time to `sweep`?"""
        with self._lock:
            self._from[address] -= 1
            if not self._from[address]:
                del self._from[address]
            self._since += size
            return self._since > SWEEP * self.most_bytes

    def bytes(self) -> int:
        """What lies on the disk."""
        return sum(size for _, size, _ in self._files())

    def sweep(self, most_bytes: int | None = None) -> None:
        """Delete the oldest until no more than that is left: by default, than is allowed."""
        most = self.most_bytes if most_bytes is None else most_bytes
        with self._lock:
            self._since = 0
        files = sorted(self._files(), reverse=True)
        held = 0
        for _, size, path in files:  # the newest first
            held += size
            if held > most:
                path.unlink(missing_ok=True)
                if not any(path.parent.iterdir()) and path.parent != self.folder:
                    path.parent.rmdir()

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.rglob("*"):
            try:
                about = path.lstat()
                if path.is_file():
                    found.append((about.st_mtime, about.st_size, path))
            except OSError:  # it left meanwhile
                continue
        return found
