"""Every metric that a service exports: its name, kind, labels and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_ROUND_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 120, 300)
_JOB_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


@dataclass(frozen=True)
class Metric:
    """One metric, named and measured as Prometheus asks for: base units, ``_total`` for counters.

    No label has more values than there are kinds of something: neither updates nor trainers are labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CATALOGUE = (
    Metric("flobc_build_info", "gauge", "1, with the release and the role of this service.", ("version", "role")),
    Metric("flobc_ready", "gauge", "1 when the service has caught up and does its work."),
    Metric("flobc_height", "gauge", "Height of the newest certified block that this service knows."),
    Metric("flobc_round_seconds", "histogram", "Seconds from one certified block to the next.", buckets=_ROUND_S),
    Metric("flobc_updates_decided_total", "counter", "Updates decided by blocks, by their outcome.", ("reason",)),
    Metric("flobc_updates_received_total", "counter", "Updates whose whole payload a validator has taken in."),
    Metric("flobc_update_received_bytes_total", "counter", "Bytes of those payloads."),
    Metric("flobc_records_refused_total", "counter", "Records of the log that changed nothing, by rule.", ("rule",)),
    Metric("flobc_job_seconds", "histogram", "Seconds that a job beside the loop took.", ("job",), _JOB_S),
    Metric("flobc_job_failures_total", "counter", "Jobs that are to be tried again.", ("job",)),
    Metric("flobc_updates_published_total", "counter", "Updates that Kafka has acknowledged to their trainer."),
    Metric("flobc_blocks_recorded_total", "counter", "Blocks that this ledger has found or put into the store."),
)
"""What ``docs/metrics.md`` lists; dashboards and alerts may use nothing else."""
