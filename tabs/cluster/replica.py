"""A replica: networks of its own and the desks of all tabs, without a page.

Ray starts as many as are wanted; each runs on its own cores and answers one front or several.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from explainers import Photo, cores
from explainers.recent import memory
from explainers.settings import Settings, from_environment
from explainers.zoo import Zoo, bring

from ..allocator import Trim, unread
from ..here import Here
from ..order import TABS
from ..parts import uploads
from ..parts.lanes import Lanes
from ..parts.work import Jobs
from ..server import logs
from ..server import options as server_options
from ..server.options import GRACE, Options
from . import carried
from .router import ByVisit

NAME = "seeing-why"  # of the application
ONGOING = 16  # requests at one replica: those at work, and those in its lanes
ANNOUNCED = 12  # networks of which the others are told that they are here
LOGGED = {"enable_access_log": False, "log_level": "WARNING"}


class Replica:
    """Answers what `Here` answers. own: networks of the operator, by name."""

    async def __init__(
        self, settings: Settings, options: Options, own: tuple[str, ...] = ()
    ) -> None:
        logs.start(options.log)
        self._folder = uploads.own_folder(os.environ)
        cores.share(settings, options.replica_cpus)
        zoo = Zoo(settings, own=bring([*own, *settings.networks]))
        zoo.get()
        unread()
        zoo.start()
        self.zoo = zoo
        jobs = Jobs(Lanes(options.waiting), options.work_seconds)
        Trim(tidy=jobs.tidy, lull=cores.shared.lull, spare=memory.spare).keep()
        self.here = Here(zoo, TABS, jobs)
        self._threads = ThreadPoolExecutor(ONGOING)
        self.name = serve.get_replica_context().replica_id.unique_id
        for each in zoo.status():
            if each.state in ("ready", "loading"):
                await self.announced(each.key)

    async def answer(
        self,
        desk: str,
        what: str,
        data: Any,
        *,
        photo: Photo | None = None,
        at: str = "",
        only: bool = False,
        request: str = "",
    ) -> tuple[str, dict[str, Any]]:
        """This replica's name, and what the desk says.

        photo: the one that the question names, where this replica lacks it. at: the replica that
        is meant; if `only` it will do, another one answers that it is `lost`. request: how the log
        calls it.
        """
        if only and at != self.name:
            return self.name, {"lost": True}
        network = serve.get_multiplexed_model_id()
        known, answer = await self._run(self._answer, network, desk, what, data, photo, request)
        if known:
            await self.announced(network)
        return self.name, answer

    @serve.multiplexed(max_num_models_per_replica=ANNOUNCED)
    async def announced(self, network: str) -> str:
        """Told to all who send requests: that network is here, or about to be."""
        return network

    def _run(self, work: Any, *given: Any) -> Any:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, partial(context.run, work, *given))

    def _known(self, network: str) -> bool:
        """Is there such a network? One that a visitor typed elsewhere is taken in here, too."""
        if any(each.key == network for each in self.zoo.status()):
            return True
        return "/" in network and "key" in self.here.answer("bar", "add", network)

    def _answer(
        self,
        network: str,
        desk: str,
        what: str,
        data: Any,
        photo: Photo | None,
        request: str,
    ) -> tuple[bool, dict[str, Any]]:
        """Is that network here, or about to be? And what the desk says."""
        logs.begin(request)
        known = bool(network) and self._known(network)
        if photo is not None:
            self.here.subject.keep(data["photo"]["own"], photo)
        return known, self.here.answer(desk, what, carried.unpacked(data))

    def __del__(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def application(
    settings: Settings, options: Options, own: tuple[str, ...] = ()
) -> serve.Application:
    """So many replicas as the options say, for `serve.run`."""
    least, most = options.least_replicas(cores.shared.cores), options.most_replicas
    grows = {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 2}
    many = {"autoscaling_config": grows} if most > least else {"num_replicas": least}
    made = serve.deployment(
        name="replica",
        max_ongoing_requests=ONGOING,
        max_queued_requests=options.waiting,
        ray_actor_options={"num_cpus": options.replica_cpus, "num_gpus": options.replica_gpus},
        request_router_config=RequestRouterConfig(request_router_class=ByVisit),
        graceful_shutdown_wait_loop_s=1,
        graceful_shutdown_timeout_s=GRACE,
        health_check_period_s=5,
        logging_config=LOGGED,
        **many,
    )
    return made(Replica).bind(settings, options, own)


def app(given: dict[str, str]) -> serve.Application:
    """For a Serve config file, as `tabs.cluster.replica:app`: the settings are those of the
    environment, and of its `args`, which have the same names."""
    environment = {**os.environ, **given}
    settings, options = from_environment(environment), server_options.from_environment(environment)
    return application(settings, options)
