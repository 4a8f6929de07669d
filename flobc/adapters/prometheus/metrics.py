"""Counting, and serving what was counted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from flobc.adapters.prometheus.catalogue import CATALOGUE
from flobc.errors import UsageError

_KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class Metrics:
    """The metrics of one service; a name that is not in ``CATALOGUE`` is a mistake of ours. Thread-safe.

    A gauge is shown from its first value on: nobody should take a trainer for a ledger whose Redis is away.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._metrics: dict[str, Any] = {}
        for metric in CATALOGUE:
            options: dict[str, Any] = {"labelnames": metric.labels}
            options["registry"] = None if metric.kind == "gauge" else self._registry
            if metric.kind == "histogram":
                options["buckets"] = metric.buckets
            self._metrics[metric.name] = _KINDS[metric.kind](metric.name, metric.help, **options)
        self._hidden = {metric.name for metric in CATALOGUE if metric.kind == "gauge"}
        self._showing = threading.Lock()
        self._server: tuple[WSGIServer, threading.Thread] | None = None

    def serve(self, address: str) -> str:
        """Serve the metrics at HOST:PORT, path /metrics, and return where. **Raises** UsageError."""
        host, _, port = address.rpartition(":")
        try:
            self._server = start_http_server(int(port), host or "0.0.0.0", self._registry)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(f"Metrics cannot be served at {address} ({error}); choose another HOST:PORT.") from error
        return f"{host}:{self._server[0].server_port}"

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server[0].shutdown()
            self._server[0].server_close()
            self._server = None

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, or to a gauge."""
        self._find(name, labels).inc(amount)
        if name in self._hidden:
            self._show(name)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._find(name, labels).set(value)
        if name in self._hidden:
            self._show(name)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Enter a value into a histogram."""
        self._find(name, labels).observe(value)

    @contextlib.contextmanager
    def time_job(self, job: str) -> Iterator[None]:
        """Measure how long the block takes, and count it when it fails."""
        start_s = time.monotonic()
        try:
            yield
        except Exception:
            self.add("flobc_job_failures_total", work=job)
            raise
        self.observe("flobc_job_seconds", time.monotonic() - start_s, work=job)

    def _show(self, name: str) -> None:
        with self._showing:
            if name in self._hidden:
                self._registry.register(self._metrics[name])
                self._hidden.discard(name)

    def _find(self, name: str, labels: dict[str, str]) -> Any:
        metric = self._metrics[name]
        return metric.labels(**labels) if labels else metric
