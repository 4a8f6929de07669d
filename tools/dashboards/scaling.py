"""Scaling experiment: several releases, or one whose trainers change in number, side by side."""

from __future__ import annotations

from dashboards.layout import CHAIN, HALF, VALIDATORS_ONLY, Board, Panel, Query, Row, chain_max, pick, quantile, rate

_ACTIVE = chain_max(pick("flobc_trainers", 'standing="active"'))
_VALIDATORS = chain_max(pick("flobc_validators"))
_DECIDED = f"max by ({CHAIN}) (sum by ({CHAIN}, instance) ({rate('flobc_updates_decided_total')}))"
_ROUNDS = f"max by ({CHAIN}) (sum by ({CHAIN}, instance) ({rate('flobc_rounds_closed_total')}))"
_CPU = f"sum by ({CHAIN}, job) ({rate('process_cpu_seconds_total')} + {rate('flobc_workers_cpu_seconds_total')})"
_JOIN = f"* on ({CHAIN}) group_left (ratio, sync, trust, rule) max by ({CHAIN}, ratio, sync, trust, rule) " + (
    f"({pick('flobc_config_info')})"
)
_NAME = "{{release}} {{ratio}} {{sync}} {{trust}}"

SIZE = Row(
    "How large",
    (
        Panel(
            "Active trainers",
            "What the experiment changes; rounds wait for them.",
            "short",
            (Query(_ACTIVE, "{{release}}"),),
        ),
        Panel(
            "Validators",
            "Fixed by the genesis.",
            "short",
            (Query(_VALIDATORS, "{{release}}"),),
        ),
        Panel(
            "Active trainers to a validator",
            "The ratio as it is now, whatever the genesis says.",
            "short",
            (Query(f"{_ACTIVE} / {_VALIDATORS}", "{{release}}"),),
        ),
    ),
)
SPEED = Row(
    "How fast",
    (
        Panel(
            "Rounds per minute",
            "Falls with more trainers as soon as validators have no core to spare.",
            "short",
            (Query(f"60 * {_ROUNDS} {_JOIN}", _NAME),),
        ),
        Panel(
            "Round, median and slowest twentieth",
            "Grows with the number of trainers to a validator: each validator scores every update.",
            "s",
            tuple(
                Query(quantile(share, "flobc_round_seconds"), "{{release}} q " + f"{share:g}") for share in (0.5, 0.95)
            ),
        ),
        Panel(
            "Updates decided",
            "Should grow with trainers; where it levels off is the limit of this machine or cluster.",
            "cps",
            (Query(f"{_DECIDED} {_JOIN}", _NAME),),
        ),
        Panel(
            "Scoring, slowest twentieth",
            "Seconds of one pass over up to eight updates.",
            "s",
            (Query(quantile(0.95, "flobc_job_seconds", matchers=('work="score"',)), "{{release}}"),),
        ),
        Panel(
            "Updates published",
            "What trainers offer; far more than is decided means that validators are what it waits for.",
            "cps",
            (Query(f"sum by ({CHAIN}) ({rate('flobc_updates_published_total')})", "{{release}}"),),
        ),
        Panel(
            "Stages of a round",
            "Mean seconds. collect grows with training and scoring, aggregate with the model's size.",
            "s",
            (
                Query(
                    f"sum by ({CHAIN}, stage) ({rate('flobc_round_stage_seconds_sum')}) / "
                    f"sum by ({CHAIN}, stage) ({rate('flobc_round_stage_seconds_count')})",
                    "{{release}} {{stage}}",
                ),
            ),
        ),
    ),
)
COST = Row(
    "What it costs",
    (
        Panel(
            "CPU seconds a round, by role",
            "Trainers' grows with their number, validators' with trainers times validators.",
            "s",
            (Query(f"{_CPU} / on ({CHAIN}) group_left () ({_ROUNDS} > 0)", "{{release}} {{job}}"),),
        ),
        Panel(
            "Bytes a round through Kafka",
            "Written once by trainers, read once by every validator.",
            "bytes",
            (
                Query(
                    f"sum by ({CHAIN}) ({rate('flobc_kafka_sent_bytes_total')}) / on ({CHAIN}) ({_ROUNDS} > 0)",
                    "{{release}} written",
                ),
                Query(
                    f"sum by ({CHAIN}) ({rate('flobc_kafka_received_bytes_total')}) / on ({CHAIN}) ({_ROUNDS} > 0)",
                    "{{release}} read",
                ),
            ),
        ),
        Panel(
            "Bytes that a validator takes in",
            "Payloads. It grows with trainers, not with validators.",
            "Bps",
            (Query(f"avg by ({CHAIN}) ({rate('flobc_update_received_bytes_total', VALIDATORS_ONLY)})", "{{release}}"),),
        ),
    ),
)
WORTH = Row(
    "What it is worth",
    (
        Panel(
            "Accuracy, by ratio and policies",
            "Compare releases at the same height or time.",
            "percentunit",
            (Query(f"{chain_max(pick('flobc_model_accuracy_ratio'))} {_JOIN}", _NAME),),
            width=HALF,
        ),
        Panel(
            "Loss, by ratio and policies",
            "Compare releases at the same height or time.",
            "short",
            (Query(f"{chain_max(pick('flobc_model_loss'))} {_JOIN}", _NAME),),
            width=HALF,
        ),
    ),
)
BOARD = Board(
    "flobc-scaling",
    "FLoBC: scaling experiment",
    "How the number of trainers and validators, and the policies, change speed, cost and worth.",
    (SIZE, SPEED, COST, WORTH),
    many=True,
)
