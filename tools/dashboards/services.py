"""Services RED: are they there, how many calls, how many fail, how long they take; and what they use."""

from __future__ import annotations

from dashboards.layout import (
    CHAIN,
    HALF,
    VALIDATORS_ONLY,
    Board,
    Limit,
    Panel,
    Query,
    Row,
    increase,
    pick,
    quantile,
    rate,
)

_ROLES = 'job=~"trainer|validator|ledger"'
_PROCESSES = 'job=~"trainer|validator|ledger|explorer"'
_ENDED = 'method!="Ledger/Follow"'

THERE = Row(
    "Are they there",
    (
        Panel(
            "Up",
            "1 for every service that Prometheus knows.",
            "short",
            (Query(pick("up", _ROLES), "{{job}} {{instance}}"),),
            Limit("TargetDown", 1, below=True),
        ),
        Panel(
            "Ready",
            "1 for every service, a while after its start.",
            "short",
            (Query(pick("flobc_ready"), "{{job}} {{instance}}"),),
            Limit("NotReady", 1, below=True),
        ),
        Panel(
            "Starts in a quarter of an hour",
            "0, but for upgrades.",
            "short",
            (Query(f"changes({pick('process_start_time_seconds', _ROLES)}[15m])", "{{job}} {{instance}}"),),
            Limit("ServiceRestarting", 3),
        ),
    ),
)
CALLS = Row(
    "Calls",
    (
        Panel(
            "Calls by method",
            "Trainers ask ledgers once a block for state and model; ledgers and validators fetch models.",
            "reqps",
            (Query(f"sum by ({CHAIN}, method) ({rate('flobc_grpc_requests_total')})", "{{method}}"),),
            kind="stack",
        ),
        Panel(
            "Calls by status",
            "OK, and CANCELLED from followers that leave. NOT_FOUND: asked before it was there, or of the wrong one.",
            "reqps",
            (Query(f"sum by ({CHAIN}, code) ({rate('flobc_grpc_requests_total')})", "{{code}}"),),
            kind="stack",
        ),
        Panel(
            "Share of errors",
            "0. Not to hold something is no error.",
            "percentunit",
            (Query(pick("flobc:grpc_errors:ratio5m"), "{{job}}"),),
            Limit("GrpcErrors", 0.05),
        ),
        Panel(
            "Slowest twentieth, by method",
            "Milliseconds; a whole model of many megabytes takes longer. Follow is left out: it lasts on purpose.",
            "s",
            (Query(quantile(0.95, "flobc_grpc_request_seconds", "method", matchers=(_ENDED,)), "{{method}}"),),
        ),
        Panel(
            "Median, by method",
            "A millisecond or two for heads, blocks and proofs.",
            "s",
            (Query(quantile(0.5, "flobc_grpc_request_seconds", "method", matchers=(_ENDED,)), "{{method}}"),),
        ),
        Panel(
            "Calls under way",
            "Ledger/Follow: one for each trainer process and whoever else follows. Others: 0 most of the time.",
            "short",
            (Query(f"sum by ({CHAIN}, method) ({pick('flobc_grpc_requests_open')})", "{{method}}"),),
        ),
    ),
)
WORK = Row(
    "Work",
    (
        Panel(
            "Jobs beside the loop, slowest twentieth",
            "train: local training; score and aggregate: a validator's arithmetic; record: a ledger's writing.",
            "s",
            (Query(quantile(0.95, "flobc_job_seconds", "work"), "{{work}}"),),
        ),
        Panel(
            "Jobs",
            "Once a round and service, score a few times.",
            "cps",
            (Query(f"sum by ({CHAIN}, work) ({rate('flobc_job_seconds_count')})", "{{work}}"),),
        ),
        Panel(
            "Jobs that failed",
            "0, but for moments after a start or a lost server. They are tried again.",
            "cps",
            (Query(f"sum by ({CHAIN}, work) ({rate('flobc_job_failures_total')})", "{{work}}"),),
        ),
    ),
)
PAGES = Row(
    "The explorer's pages",
    (
        Panel(
            "Requests by page",
            "As many as people look. Empty where no explorer runs, like this whole row.",
            "reqps",
            (Query(f"sum by ({CHAIN}, page) ({rate('flobc_web_requests_total')})", "{{page}}"),),
            kind="stack",
        ),
        Panel(
            "Requests by status",
            "200, and 303 from searches. 404: no such page. 502 and 503: the ledgers tell nothing, or nothing good.",
            "reqps",
            (Query(f"sum by ({CHAIN}, status) ({rate('flobc_web_requests_total')})", "{{status}}"),),
            kind="stack",
        ),
        Panel(
            "Slowest twentieth, by page",
            "Tens of milliseconds; a block's or update's page asks a ledger first. Tables of a long chain take longer.",
            "s",
            (Query(quantile(0.95, "flobc_web_request_seconds", "page"), "{{page}}"),),
        ),
        Panel(
            "Live viewers",
            "One for each browser that shows the overview.",
            "short",
            (Query(f"sum by ({CHAIN}, instance) ({pick('flobc_web_viewers')})", "{{instance}}"),),
        ),
        Panel(
            "Blocks behind",
            "0, or 1 for a moment. More after a start without an index, until the chain is taken in.",
            "short",
            (Query(pick("flobc_web_blocks_behind"), "{{instance}}"),),
        ),
        Panel(
            "Verifications",
            "By their end; holds, or unreachable when ledgers were away. broken: a ledger tells what nobody sealed.",
            "short",
            (Query(f"sum by ({CHAIN}, result) ({increase('flobc_web_verifications_total')})", "{{result}}"),),
        ),
    ),
)
USE = Row(
    "What they use",
    (
        Panel(
            "Processors by role, the loops' processes",
            "Cores. Trainers most of all; validators' scoring is in the next panel.",
            "short",
            (Query(f"sum by ({CHAIN}, job) ({rate('process_cpu_seconds_total', _PROCESSES)})", "{{job}}"),),
            kind="stack",
        ),
        Panel(
            "Processors of scoring",
            "Cores that a validator's scoring processes use. Near their number: scoring is what rounds wait for.",
            "short",
            (Query(rate("flobc_workers_cpu_seconds_total", VALIDATORS_ONLY), "{{instance}}"),),
            kind="stack",
        ),
        Panel(
            "Memory by service",
            "Level after the first rounds. Validators' scoring processes come on top.",
            "bytes",
            (Query(pick("process_resident_memory_bytes", _PROCESSES), "{{job}} {{instance}}"),),
        ),
        Panel(
            "Memory of scoring",
            "Level after the first rounds.",
            "bytes",
            (Query(pick("flobc_workers_resident_bytes", VALIDATORS_ONLY), "{{instance}}"),),
            width=HALF,
        ),
        Panel(
            "Open files",
            "Level: connections, and a few files.",
            "short",
            (Query(pick("process_open_fds", _PROCESSES), "{{job}} {{instance}}"),),
            width=HALF,
        ),
    ),
)
BOARD = Board(
    "flobc-services",
    "FLoBC: services RED",
    "Rates, errors and durations of calls and jobs, and what processes use.",
    (THERE, CALLS, WORK, PAGES, USE),
)
