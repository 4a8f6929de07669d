"""Kafka and Redis, as the services that use them see them."""

from __future__ import annotations

from dashboards.layout import CHAIN, LEDGERS_ONLY, QUARTER, Board, Limit, Panel, Query, Row, pick, quantile, rate

READING = Row(
    "Reading Kafka",
    (
        Panel(
            "Lag in records",
            "Close to 0. After a start it falls from the length of the log.",
            "short",
            (Query(pick("flobc_kafka_lag_records"), "{{topic}} {{job}} {{instance}}"),),
        ),
        Panel(
            "Lag in seconds",
            "0: everything was read. Else the age of the newest record read.",
            "s",
            (Query(pick("flobc_kafka_lag_seconds"), "{{topic}} {{job}} {{instance}}"),),
            Limit("ConsumerBehind", 30),
        ),
        Panel(
            "Reads that failed",
            "0, but while Kafka is away.",
            "cps",
            (Query(f"sum by ({CHAIN}, topic, job) ({rate('flobc_kafka_read_errors_total')})", "{{topic}} {{job}}"),),
        ),
        Panel(
            "Records read",
            "The log: a few dozen a round for each service. Updates: as many chunks as their payloads have.",
            "cps",
            (
                Query(
                    f"sum by ({CHAIN}, topic, job) ({rate('flobc_kafka_received_records_total')})", "{{topic}} {{job}}"
                ),
            ),
        ),
        Panel(
            "Bytes read",
            "Updates make nearly all of them: every validator reads every payload.",
            "Bps",
            (Query(f"sum by ({CHAIN}, topic, job) ({rate('flobc_kafka_received_bytes_total')})", "{{topic}} {{job}}"),),
        ),
    ),
)
WRITING = Row(
    "Writing Kafka",
    (
        Panel(
            "Until it is acknowledged, slowest twentieth",
            "Milliseconds. Seconds: the broker's disk is slow, or it is away.",
            "s",
            (Query(quantile(0.95, "flobc_kafka_publish_seconds", "topic"), "{{topic}}"),),
        ),
        Panel(
            "Bytes written",
            "Updates make nearly all of them.",
            "Bps",
            (Query(f"sum by ({CHAIN}, topic, job) ({rate('flobc_kafka_sent_bytes_total')})", "{{topic}} {{job}}"),),
            kind="stack",
        ),
        Panel(
            "Appends that failed",
            "0. What failed is sent again.",
            "cps",
            (Query(f"sum by ({CHAIN}, topic, job) ({rate('flobc_kafka_publish_errors_total')})", "{{topic}} {{job}}"),),
            Limit("PublishErrors", 0.001),
        ),
    ),
)
LEDGERS = Row(
    "Ledgers and Redis",
    (
        Panel(
            "Blocks recorded",
            "One a round, at every ledger.",
            "cps",
            (Query(rate("flobc_blocks_recorded_total", LEDGERS_ONLY), "{{instance}}"),),
        ),
        Panel(
            "Writing that failed",
            "0. Else Redis does not take blocks, or nobody gives the newest model.",
            "cps",
            (Query(rate("flobc_job_failures_total", 'work="record"'), "{{instance}}"),),
            Limit("LedgerWriteErrors", 0.001),
        ),
        Panel(
            "Commands that failed",
            "0, but while Redis is away.",
            "cps",
            (Query(rate("flobc_redis_errors_total", LEDGERS_ONLY), "{{instance}}"),),
        ),
        Panel(
            "Commands, slowest twentieth",
            "Below a millisecond, but for those that carry models.",
            "s",
            (Query(quantile(0.95, "flobc_redis_command_seconds", "command"), "{{command}}"),),
        ),
        Panel(
            "Commands",
            "A few dozen a round, and two looks at the head each second.",
            "cps",
            (Query(f"sum by ({CHAIN}, command) ({rate('flobc_redis_command_seconds_count')})", "{{command}}"),),
            kind="stack",
        ),
        Panel(
            "Clients",
            "Some connections of each ledger. It should be level.",
            "short",
            (Query(f"max by ({CHAIN}) ({pick('flobc_redis_clients', LEDGERS_ONLY)})", "clients"),),
        ),
    ),
)
REDIS = Row(
    "Redis itself",
    (
        Panel(
            "Up",
            "1: some ledger reaches it.",
            "short",
            (Query(f"max by ({CHAIN}) ({pick('flobc_redis_up', LEDGERS_ONLY)})", "up"),),
            Limit("RedisDown", 1, below=True),
            width=QUARTER,
        ),
        Panel(
            "Memory",
            "Grows slowly with every block: blocks and states stay, of models the newest 16. A limit of 0 is none.",
            "bytes",
            (
                Query(f"max by ({CHAIN}) ({pick('flobc_redis_memory_bytes', LEDGERS_ONLY)})", "used"),
                Query(f"max by ({CHAIN}) ({pick('flobc_redis_memory_limit_bytes', LEDGERS_ONLY)})", "limit"),
            ),
            width=QUARTER,
        ),
        Panel(
            "Keys dropped",
            "0: it must never drop any.",
            "short",
            (Query(f"max by ({CHAIN}) ({pick('flobc_redis_evicted_keys_total', LEDGERS_ONLY)})", "dropped"),),
            Limit("RedisEvicting", 1),
            width=QUARTER,
        ),
        Panel(
            "Persistence",
            "1: its last write to disk succeeded.",
            "short",
            (Query(f"min by ({CHAIN}) ({pick('flobc_redis_persistence_ok', LEDGERS_ONLY)})", "kept"),),
            Limit("RedisPersistenceFailing", 1, below=True),
            width=QUARTER,
        ),
        Panel(
            "Memory of its limit",
            "Below nine tenths; nothing where there is no limit.",
            "percentunit",
            (
                Query(
                    f"max by ({CHAIN}) ({pick('flobc_redis_memory_bytes')} / "
                    f"({pick('flobc_redis_memory_limit_bytes')} > 0))",
                    "used",
                ),
            ),
            Limit("RedisMemoryHigh", 0.9),
            width=QUARTER,
        ),
    ),
)
BOARD = Board(
    "flobc-servers",
    "FLoBC: Kafka and Redis",
    "Lag, latency, bytes and errors of the servers that the chain rests on.",
    (READING, WRITING, LEDGERS, REDIS),
)
