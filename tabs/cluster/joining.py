"""How a front comes to its replicas: a cluster is started here, or joined."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Read when Ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # replicas are the page: they give way to nobody
# Questions go straight to a replica, under the cluster's secret, not by way of Ray's object store.
os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")
# Counts of requests, every replica's ten times a second; Ray hands them on every ten seconds.
os.environ.setdefault("RAY_SERVE_METRICS_EXPORT_INTERVAL_MS", "5000")
# Its controller looks after all replicas ten times a second: 4 % of a core of an idle page.
os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")
try:
    import ray
    from ray import serve
except ImportError as error:
    from explainers import OptionError

    raise OptionError(
        "SEEING_WHY_CLUSTER needs Ray: pip install -r requirements-cluster.txt."
    ) from error

from explainers import OptionError, cores
from explainers.places import CODE
from explainers.zoo import Zoo

from ..server.options import Options
from ..subject import Subject
from .front import Front
from .replica import NAME, application

log = logging.getLogger("seeing_why")

LOCAL = "local"
STORE = 256_000_000  # bytes of Ray's object store on this machine; questions do not go through it


def join(zoo: Zoo, options: Options, networks: Sequence[Any] = ()) -> Front:
    """The engine whose replicas are those of SEEING_WHY_CLUSTER; returns when they answer.

    zoo: of the front; its settings hold for all replicas. networks: of the operator, by name.
    Raises OptionError.
    """
    if not all(isinstance(each, str | Path) for each in networks):
        raise OptionError(
            "In a cluster your own networks are named, not handed over: a folder, a file of "
            "weights, a Hub id, or your code as file.py:make."
        )
    try:
        if options.cluster == LOCAL:
            _start(options)
        else:
            ray.init(options.cluster, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        log.info("Ray said: %s", error)
        raise OptionError(
            "SEEING_WHY_CLUSTER is neither “local” nor the address of a Ray cluster that this "
            "machine belongs to: start Ray here first, ray start --address=ADDRESS."
        ) from error
    handle = _handle(application(zoo.settings, options, tuple(map(str, networks))))
    return Front(handle, Subject(zoo), options, leave=ray.shutdown)


def _start(options: Options) -> None:
    """A cluster of this machine alone: whoever reaches its ports needs its secret."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    most = max(options.least_replicas(cores.shared.cores), options.most_replicas)
    ray.init(
        num_cpus=most * options.replica_cpus,
        num_gpus=most * options.replica_gpus,
        object_store_memory=STORE,
        include_dashboard=False,
        log_to_driver=True,
        logging_level=logging.WARNING,
        runtime_env={"env_vars": {"PYTHONPATH": str(CODE)}},
    )


def _handle(app: serve.Application) -> Any:
    """Of the application as it runs in the cluster, where it was deployed before; else of ours."""
    serve.start(proxy_location="Disabled")
    found = serve.status().applications.get(NAME)
    if found is not None and found.status == "RUNNING":
        return serve.get_app_handle(NAME)
    return serve.run(app, name=NAME, route_prefix=None)
