"""Which replica gets a request: Ray asks this class, wherever requests are sent from."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from ray.serve.request_router import MultiplexMixin, RequestRouter

GRACE = 15.0  # seconds in which a replica that leaves may answer what it was asked
EASY = 2  # requests at a replica up to which a visitor stays there


class ByVisit(MultiplexMixin, RequestRouter):
    """A visit stays where its results are remembered, unless that replica is busy; work under way
    (`only`) stays there whatever. All others go where the network is loaded, then to the replicas
    with the fewest networks: where the fewest requests of this sender are (LSQ, Vargaftik et al.
    2020). Ray's own numbers decide only among equal ones, for they are old: over gRPC a replica's
    word on its queue comes with its answer, and tells how long that was when it took the request.
    """

    def initialize_state(self, **given: Any) -> None:
        """Ray calls this first. _asked: requests of this sender at each replica. _leaving: replicas
        that may still answer. _full: requests for which none had room, the oldest first."""
        super().initialize_state(**given)
        self._asked: Counter[Any] = Counter()
        self._full: deque[asyncio.Future[None]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()

    def update_replicas(self, replicas: list[Any]) -> None:
        """The controller says which there are."""
        before = dict(self.curr_replicas)
        super().update_replicas(replicas)
        self._leave(each for key, each in before.items() if key not in self.curr_replicas)

    def on_replica_actor_died(self, replica_id: Any) -> None:
        """It was seen to be gone."""
        left = self.curr_replicas.get(replica_id)
        super().on_replica_actor_died(replica_id)
        self._leave([left] if left else [])

    def _leave(self, replicas: Iterable[Any]) -> None:
        """Whoever still waits for one that left gets its answer, or is told that it is lost: a
        machine that was switched off does not say so."""
        for each in replicas:
            if each._channel is not None:
                leaving = asyncio.create_task(each._channel.close(GRACE))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def choose_replicas(
        self, candidate_replicas: list[Any], pending_request: Any = None
    ) -> list[list[Any]]:
        """Ranks of replicas, the preferred first."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True
        given = pending_request.kwargs
        at = given.get("at")
        mine = [each for each in candidate_replicas if each.replica_id.unique_id == at]
        if mine and given.get("only"):
            return [mine]
        if mine and self._queue(mine[0]) >= EASY:
            mine = []
        network = pending_request.metadata.multiplexed_model_id
        ranks = self.rank_replicas_via_multiplex(candidate_replicas, network)
        return [each for each in (mine, *map(self._shortest, ranks)) if each]

    def _queue(self, replica: Any) -> int:
        """Requests there: of this sender now, or of all when it last took one."""
        told = self.replica_queue_len_cache.get(replica.replica_id) or 0
        return max(self._asked[replica.replica_id], told)

    def _shortest(self, rank: list[Any]) -> list[Any]:
        """Two of those with the fewest requests of this sender, by chance."""
        fewest = min((self._asked[each.replica_id] for each in rank), default=0)
        among = [each for each in rank if self._asked[each.replica_id] == fewest]
        return random.sample(among, min(2, len(among)))

    async def _backoff(self, attempt: int) -> None:
        """Wait until a replica has answered, or as long as Ray would: others send there, too."""
        room = asyncio.get_running_loop().create_future()
        self._full.append(room)
        await asyncio.wait([room], timeout=self._compute_backoff_s(attempt))
        room.cancel()

    def on_send_request(self, replica_id: Any) -> None:
        """A replica is asked."""
        super().on_send_request(replica_id)
        self._asked[replica_id] += 1

    def on_request_completed(self, replica_id: Any, internal_request_id: str) -> None:
        """It has answered, or never will: the oldest request that waits for room may go there."""
        super().on_request_completed(replica_id, internal_request_id)
        self._asked[replica_id] -= 1
        if self._asked[replica_id] <= 0:
            del self._asked[replica_id]
        while self._full:
            room = self._full.popleft()
            if not room.done():
                room.set_result(None)
                break
