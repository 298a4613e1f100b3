"""The engine in this process: its own networks, the desks of all tabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explainers import recent
from explainers.zoo import Zoo

from .bar import Bar
from .parts.engine import Gauges
from .parts.tab import Server, Tab
from .parts.work import Jobs
from .programs import Programs
from .rail import Rail
from .subject import Subject


class Here:
    """Answers with the networks of `zoo`; `jobs` is the work under way."""

    def __init__(self, zoo: Zoo, tabs: Sequence[Tab], jobs: Jobs | None = None) -> None:
        self.zoo, self.jobs, self.subject = zoo, jobs or Jobs(), Subject(zoo)
        self._desks: dict[str, Any] = {
            tab.key: Server(tab, self.subject, self.jobs) for tab in tabs
        }
        self._desks |= {
            "bar": Bar(zoo),
            "rail": Rail(self.subject),
            "programs": Programs(zoo, self.jobs),
        }

    def answer(self, desk: str, what: str, data: Any) -> dict[str, Any]:
        """What a desk says to one of the questions that it takes."""
        asked = self._desks[desk]
        if what not in asked.answers:
            raise ValueError(f"{desk} is not asked to {what}")
        return getattr(asked, what)(data)

    def gauges(self) -> Gauges:
        """Waiting, work, results and networks."""
        lanes, memory, zoo = self.jobs.lanes, recent.memory, self.zoo
        return {
            "waiting_quick": ("Who waits for a quick answer", lambda: lanes.quick.waiting),
            "waiting_slow": ("Who waits for slow work", lambda: lanes.slow.waiting),
            "work": ("Pieces of work under way or left lately", lambda: self.jobs.count),
            "results_bytes": ("Results kept", lambda: memory.bytes),
            "results_evicted": ("Results that left to make room", lambda: memory.evicted),
            "networks_bytes": ("Networks in memory", lambda: zoo.bytes),
            "networks_evicted": ("Networks that left to make room", lambda: zoo.evicted),
        }

    def refuse(self) -> None:
        """Take nothing new."""
        self.jobs.lanes.close()

    def pulled(self, lately: float) -> bool:
        """Has anybody pulled in the last seconds, and is not at the end?"""
        return self.jobs.pulled(lately)

    def close(self) -> None:
        """Let go of every network."""
        self.zoo.close()
