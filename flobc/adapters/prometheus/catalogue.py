"""Every metric that a service exports: its name, kind, labels and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_ROUND_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 120, 300)
_JOB_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
_ANSWER_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_STALENESS = (0, 1, 2, 3, 5, 10, 20)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """One metric, named and measured as Prometheus asks for: base units, ``_total`` for counters.

    No label has more values than there are kinds of something, but for ``validator`` and ``trainer``, which
    ``flobc.composition.services.names`` bounds. Updates are no label; ``job`` and ``instance`` are Prometheus's.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SERVICE = (
    Metric("flobc_build_info", "gauge", "1, with the release and the role of this service.", ("version", "role")),
    Metric(
        "flobc_config_info",
        "gauge",
        "1, with what the genesis says: trainers:validators and the policies.",
        ("chain", "task", "ratio", "sync", "trust", "rule", "codec"),
    ),
    Metric("flobc_ready", "gauge", "1 when the service has caught up and does its work."),
    Metric("flobc_job_seconds", "histogram", "Seconds that a job beside the loop took.", ("work",), _JOB_S),
    Metric("flobc_job_failures_total", "counter", "Jobs that are to be tried again.", ("work",)),
    Metric("flobc_workers_cpu_seconds_total", "counter", "CPU seconds of a validator's scoring processes."),
    Metric("flobc_workers_resident_bytes", "gauge", "Memory of a validator's scoring processes."),
)
CHAIN = (
    Metric("flobc_height", "gauge", "Height of the newest certified block that this service knows."),
    Metric("flobc_last_block_timestamp_seconds", "gauge", "When this service learnt of its newest certified block."),
    Metric("flobc_round_period_seconds", "gauge", "The period of the synchronisation scheme, from the genesis."),
    Metric("flobc_round_seconds", "histogram", "Seconds from one certified block to the next.", buckets=_ROUND_S),
    Metric(
        "flobc_round_stage_seconds",
        "histogram",
        "Seconds of a round's stages: collect until closed, aggregate until a quorum is ready, seal until certified.",
        ("stage",),
        _ROUND_S,
    ),
    Metric("flobc_rounds_closed_total", "counter", "Rounds by what closed them.", ("closing",)),
    Metric("flobc_updates_decided_total", "counter", "Updates decided by blocks, by their outcome.", ("reason",)),
    Metric(
        "flobc_update_staleness_rounds",
        "histogram",
        "How many blocks behind the newest the bases of decided updates were.",
        buckets=_STALENESS,
    ),
    Metric("flobc_updates_pending", "gauge", "Updates in the log that no block has decided, after the newest block."),
    Metric("flobc_trainers", "gauge", "Trainers that are admitted, and those whom rounds wait for.", ("standing",)),
    Metric("flobc_validators", "gauge", "Validators of the genesis."),
    Metric("flobc_quorum", "gauge", "How many validators must agree."),
    Metric("flobc_validators_heard", "gauge", "Validators of whom the last five rounds have a vote, ready or seal."),
    Metric("flobc_seals_total", "counter", "Seals in certificates, by validator.", ("validator",)),
    Metric(
        "flobc_ready_mismatches_total",
        "counter",
        "Readys with another model than the quorum's, by validator.",
        ("validator",),
    ),
    Metric("flobc_evidence_total", "counter", "Evidence in blocks, by the role of whom it convicts.", ("role",)),
    Metric("flobc_records_refused_total", "counter", "Records of the log that changed nothing, by rule.", ("rule",)),
)
LEARNING = (
    Metric("flobc_model_loss", "gauge", "Loss of the newest block's parent model, the validators' median."),
    Metric("flobc_model_accuracy_ratio", "gauge", "Accuracy of the same model, the validators' median."),
    Metric("flobc_validator_loss", "gauge", "Loss that a validator reports of the newest model.", ("validator",)),
    Metric(
        "flobc_validator_accuracy_ratio",
        "gauge",
        "Accuracy that a validator reports of the newest model.",
        ("validator",),
    ),
    Metric("flobc_score_ratio", "gauge", "Quantiles of the newest block's scores; 0.5 is the median.", ("quantile",)),
    Metric("flobc_trust_share_ratio", "gauge", "Quantiles of trainers' shares of all trust.", ("quantile",)),
    Metric("flobc_trust_gini_ratio", "gauge", "Gini coefficient of trust: 0 when all have the same."),
    Metric("flobc_trust_top_share_ratio", "gauge", "Share of all trust that the first few trainers hold.", ("top",)),
    Metric(
        "flobc_weight_top_share_ratio",
        "gauge",
        "Share of the newest block's weights that its heaviest few updates have.",
        ("top",),
    ),
    Metric("flobc_trainer_trust_share_ratio", "gauge", "A trainer's share of all trust.", ("trainer",)),
    Metric(
        "flobc_trainer_updates_total",
        "counter",
        "A trainer's decided updates: accepted, rejected, or unused.",
        ("trainer", "outcome"),
    ),
    Metric("flobc_updates_received_total", "counter", "Updates whose whole payload a validator has taken in."),
    Metric("flobc_update_received_bytes_total", "counter", "Bytes of those payloads."),
    Metric("flobc_updates_published_total", "counter", "Updates that Kafka has acknowledged to their trainer."),
)
GRPC = (
    Metric("flobc_grpc_requests_total", "counter", "Calls that ended, by status code.", ("method", "code")),
    Metric(
        "flobc_grpc_request_seconds",
        "histogram",
        "Seconds from a call's begin to its end; Follow lasts as long as somebody follows.",
        ("method",),
        _ANSWER_S,
    ),
    Metric("flobc_grpc_requests_open", "gauge", "Calls under way.", ("method",)),
)
KAFKA = (
    Metric("flobc_kafka_lag_records", "gauge", "Records of a topic that this service has not read yet.", ("topic",)),
    Metric(
        "flobc_kafka_lag_seconds", "gauge", "Age of the newest record read while there are more, else 0.", ("topic",)
    ),
    Metric("flobc_kafka_received_records_total", "counter", "Records read.", ("topic",)),
    Metric("flobc_kafka_received_bytes_total", "counter", "Bytes of the values read.", ("topic",)),
    Metric("flobc_kafka_read_errors_total", "counter", "Reads that Kafka did not answer.", ("topic",)),
    Metric(
        "flobc_kafka_publish_seconds",
        "histogram",
        "Seconds from an append until Kafka acknowledged it.",
        ("topic",),
        _ANSWER_S,
    ),
    Metric("flobc_kafka_sent_bytes_total", "counter", "Bytes of acknowledged keys and values.", ("topic",)),
    Metric("flobc_kafka_publish_errors_total", "counter", "Appends that were not acknowledged.", ("topic",)),
)
REDIS = (
    Metric("flobc_blocks_recorded_total", "counter", "Blocks that this ledger has found or put into the store."),
    Metric(
        "flobc_redis_command_seconds", "histogram", "Seconds until Redis answered a ledger.", ("command",), _ANSWER_S
    ),
    Metric("flobc_redis_errors_total", "counter", "Commands that Redis did not answer, or refused."),
    Metric("flobc_redis_up", "gauge", "1 when Redis answered this ledger's last INFO."),
    Metric("flobc_redis_memory_bytes", "gauge", "Memory that Redis uses."),
    Metric("flobc_redis_memory_limit_bytes", "gauge", "Its maxmemory; 0 for none."),
    Metric("flobc_redis_clients", "gauge", "Clients connected to Redis."),
    Metric("flobc_redis_persistence_ok", "gauge", "1 when Redis's last write of its AOF and its last save succeeded."),
    Metric("flobc_redis_evicted_keys_total", "counter", "Keys that Redis dropped for want of memory."),
)
EXPLORER = (
    Metric("flobc_web_requests_total", "counter", "Requests for web pages, by status code.", ("page", "status")),
    Metric(
        "flobc_web_request_seconds",
        "histogram",
        "Seconds from a request to the end of its answer; a live stream's to its begin.",
        ("page",),
        _ANSWER_S,
    ),
    Metric("flobc_web_viewers", "gauge", "Viewers whose browser watches the chain live."),
    Metric("flobc_web_blocks_behind", "gauge", "Blocks that the ledgers had and the explorer has not taken in yet."),
    Metric(
        "flobc_web_verifications_total", "counter", "Verifications that viewers started, by their end.", ("result",)
    ),
)
CATALOGUE = SERVICE + CHAIN + LEARNING + GRPC + KAFKA + REDIS + EXPLORER
"""What ``docs/metrics.md`` lists; dashboards and alerts may use nothing else."""
