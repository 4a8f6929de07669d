"""Chain and consensus: do rounds close, who takes part, who errs."""

from __future__ import annotations

from dashboards.layout import (
    Board,
    Limit,
    Panel,
    Query,
    Row,
    chain_max,
    increase,
    number,
    pick,
    quantile,
    rate,
)

_STAGE_MEAN = (
    f"sum by (namespace, release, stage) ({rate('flobc_round_stage_seconds_sum')}) / "
    f"sum by (namespace, release, stage) ({rate('flobc_round_stage_seconds_count')})"
)
_BEHIND = f"{chain_max(pick('flobc_height'))} - on (namespace, release) group_right () {pick('flobc_height')}"

GLANCE = Row(
    "At a glance",
    (
        number("Height", "Newest certified block.", "short", chain_max(pick("flobc_height")), decimals=0),
        number(
            "Age of the newest block",
            "Less than a period. The alert waits five periods and a minute; the line here is for the default period.",
            "s",
            pick("flobc:block_age_seconds:min"),
            limit=Limit("ChainStalled", 360),
            decimals=0,
        ),
        number(
            "Validators heard beyond the quorum",
            "How many more may go away until the chain stops. 1 of 4 when all are well.",
            "short",
            f"{chain_max(pick('flobc_validators_heard'))} - {chain_max(pick('flobc_quorum'))}",
            limit=Limit("QuorumAtRisk", 1, below=True),
            decimals=0,
        ),
        number(
            "Round, slowest twentieth",
            "Of five minutes. At most the period.",
            "s",
            pick("flobc:round_seconds:p95_5m"),
            decimals=1,
        ),
        number(
            "Readys that differ",
            "0. Anything else is a broken node.",
            "short",
            f"sum by (namespace, release) ({chain_max(pick('flobc_ready_mismatches_total'), 'validator')})",
            limit=Limit("ReadyMismatch", 1),
            decimals=0,
        ),
        number(
            "Evidence",
            "0. Each one convicts a member of signing two things of which it may sign one.",
            "short",
            f"sum by (namespace, release) ({chain_max(pick('flobc_evidence_total'), 'role')})",
            limit=Limit("EvidenceRecorded", 1),
            decimals=0,
        ),
    ),
)
ROUNDS = Row(
    "Rounds",
    (
        Panel(
            "Duration",
            "From one certified block to the next. Steady; at most the period.",
            "s",
            tuple(Query(quantile(share, "flobc_round_seconds"), f"q {share:g}") for share in (0.5, 0.95, 0.99)),
        ),
        Panel(
            "Stages",
            "Mean seconds until a round closes (collect), a quorum has its model (aggregate), it is certified (seal).",
            "s",
            (Query(_STAGE_MEAN, "{{stage}}"),),
            kind="stack",
        ),
        Panel(
            "What closed them",
            "Complete or majority. Deadline: somebody that is waited for did not come in time.",
            "cps",
            (Query(chain_max(rate("flobc_rounds_closed_total"), "closing"), "{{closing}}"),),
            kind="stack",
        ),
        Panel(
            "Height by service",
            "All lines run together; trainers a moment later than ledgers.",
            "short",
            (Query(pick("flobc_height"), "{{job}} {{instance}}"),),
        ),
        Panel(
            "Blocks behind the newest",
            "0 or 1, but for a service that has just started.",
            "short",
            (Query(_BEHIND, "{{job}} {{instance}}"),),
            Limit("FollowerBehind", 5),
        ),
        Panel(
            "Updates pending",
            "In the log and not decided by the newest block. Far more than trainers: validators score too slowly.",
            "short",
            (Query(chain_max(pick("flobc_updates_pending")), "pending"),),
        ),
    ),
)
MEMBERS = Row(
    "Who takes part",
    (
        Panel(
            "Validators",
            "Heard of in the last five rounds: all of them. At the quorum the next one that goes away stops the chain.",
            "short",
            (
                Query(chain_max(pick("flobc_validators_heard")), "heard"),
                Query(chain_max(pick("flobc_quorum")), "quorum"),
                Query(chain_max(pick("flobc_validators")), "all"),
            ),
        ),
        Panel(
            "Seals by validator",
            "Seals in certificates. A certificate has a quorum of them, so the quickest have most. Flat: silent.",
            "cps",
            (Query(chain_max(rate("flobc_seals_total"), "validator"), "validator {{validator}}"),),
        ),
        Panel(
            "Readys that differ, by validator",
            "0: the same updates give the same model on every machine.",
            "short",
            (Query(chain_max(increase("flobc_ready_mismatches_total"), "validator"), "validator {{validator}}"),),
        ),
        Panel(
            "Evidence, by whom it convicts",
            "0, unless somebody cheats or a key is used twice.",
            "short",
            (Query(chain_max(increase("flobc_evidence_total"), "role"), "{{role}}"),),
        ),
        Panel(
            "Records refused, by rule",
            "Readys and seals that come after a quorum of others (ROUND-13 to 15) are refused in every round.",
            "cps",
            (Query(chain_max(rate("flobc_records_refused_total"), "rule"), "{{rule}}"),),
        ),
        Panel(
            "Updates that validators take in",
            "Whole payloads. As many as trainers publish, at every validator.",
            "cps",
            (Query(f"sum by (namespace, release, instance) ({rate('flobc_updates_received_total')})", "{{instance}}"),),
        ),
    ),
)
BOARD = Board(
    "flobc-chain",
    "FLoBC: chain and consensus",
    "Do rounds close and get certified, and who takes part in it?",
    (GLANCE, ROUNDS, MEMBERS),
)
