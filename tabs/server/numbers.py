"""What the server counts, in Prometheus' text form; nothing is imported where it is off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from explainers import Explanation, Network
from explainers.registry import listeners
from explainers.zoo.catalogue import CATALOGUE

KNOWN = {entry.key for entry in CATALOGUE}
KINDS = ("upload", "upload_photo", "component_server", "queue", "call", "mcp", "file", "config")
BUCKETS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Numbers:
    """Counters of one server. gauges: name -> (what it is, its value now)."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        import prometheus_client as prometheus
        from prometheus_client.core import GaugeMetricFamily

        self._text = prometheus.generate_latest
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)  # memory, files, processor time

        def made(kind: Any, name: str, what: str, labels: tuple[str, ...], **more: Any) -> Any:
            return kind(f"seeing_why_{name}", what, labels, registry=self.registry, **more)

        timed = {"buckets": BUCKETS}
        self._requests = made(prometheus.Counter, "requests", "Requests", ("kind", "status"))
        self._seconds = made(
            prometheus.Histogram, "request_seconds", "Seconds to the answer", ("kind",), **timed
        )
        self._maps = made(prometheus.Counter, "maps", "Maps worked out", ("method", "network"))
        self._took = made(
            prometheus.Histogram, "map_seconds", "Seconds of a map", ("method",), **timed
        )
        self._failures = made(prometheus.Counter, "failures", "Errors nobody expected", ())

        class Now:
            def collect(self) -> Iterator[Any]:
                for name, (what, value) in gauges.items():
                    yield GaugeMetricFamily(f"seeing_why_{name}", what, value=value())

        self.registry.register(Now())
        listeners.append(self._mapped)

    def close(self) -> None:
        """Hear no more of maps."""
        listeners.remove(self._mapped)

    def text(self) -> bytes:
        """All of it."""
        return self._text(self.registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request has been answered, or its client has gone (status 0)."""
        part = path.removeprefix("/gradio_api/").split("/")[0].split("=")[0]
        kind = part if part in KINDS else "page"
        self._requests.labels(kind, str(status)).inc()
        self._seconds.labels(kind).observe(seconds)

    def failed(self) -> None:
        """Something went wrong that no sentence was ready for."""
        self._failures.inc()

    def _mapped(self, found: Explanation, network: Network) -> None:
        self._maps.labels(found.method, network.key if network.key in KNOWN else "other").inc()
        self._took.labels(found.method).observe(found.seconds)
