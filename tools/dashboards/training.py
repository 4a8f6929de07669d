"""Training story: does it learn, who contributes, who is refused, who is trusted."""

from __future__ import annotations

from dashboards.layout import (
    HALF,
    SIXTH,
    THIRD,
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

_RATIO = "max by (namespace, release, ratio) " + f"({pick('flobc_config_info')})"
_POLICIES = "max by (namespace, release, sync, trust, rule) " + f"({pick('flobc_config_info')})"
_DECIDED = chain_max(rate("flobc_updates_decided_total"), "reason")
_OUTCOMES = chain_max(increase("flobc_trainer_updates_total", 'outcome="{}"'), "trainer")

GLANCE = Row(
    "At a glance",
    (
        number(
            "Height",
            "Blocks so far. It grows with every round.",
            "short",
            chain_max(pick("flobc_height")),
            decimals=0,
        ),
        number(
            "Accuracy",
            "Median of the validators on their own shards. It rises, then levels off.",
            "percentunit",
            chain_max(pick("flobc_model_accuracy_ratio")),
            decimals=1,
        ),
        number(
            "Loss",
            "Median of the validators on their own shards. It falls, then levels off.",
            "short",
            chain_max(pick("flobc_model_loss")),
            decimals=3,
        ),
        number(
            "Rounds per minute",
            "How often a block is certified. It should be steady.",
            "short",
            f"60 * {chain_max('sum by (namespace, release, instance) (' + rate('flobc_rounds_closed_total') + ')')}",
            decimals=1,
        ),
        Panel(
            "Trainers to validators",
            "The ratio that the genesis says. Trainers that were invited later are not in it.",
            "none",
            (Query(_RATIO, "{{ratio}}"),),
            kind="name",
            width=SIXTH,
        ),
        Panel(
            "Policies",
            "Synchronisation scheme, trust policy and aggregation rule of the genesis. They never change.",
            "none",
            (Query(_POLICIES, "{{sync}}, {{trust}}, {{rule}}"),),
            kind="name",
            width=SIXTH,
        ),
    ),
)
LEARNING = Row(
    "Does it learn",
    (
        Panel(
            "Loss by validator",
            "The median falls; each validator sees the same model on another shard, so their lines run side by side.",
            "short",
            (
                Query(chain_max(pick("flobc_model_loss")), "median"),
                Query(chain_max(pick("flobc_validator_loss"), "validator"), "validator {{validator}}"),
            ),
        ),
        Panel(
            "Accuracy by validator",
            "The median rises. One line far below the others: a shard of another kind, or a validator that errs.",
            "percentunit",
            (
                Query(chain_max(pick("flobc_model_accuracy_ratio")), "median"),
                Query(chain_max(pick("flobc_validator_accuracy_ratio"), "validator"), "validator {{validator}}"),
            ),
        ),
        Panel(
            "Loss over the best of an hour",
            "At most a little above 1: the newest model is the best one so far.",
            "short",
            (
                Query(
                    f"{chain_max(pick('flobc_model_loss'))} / on (namespace, release) "
                    f"min by (namespace, release) (min_over_time({pick('flobc_model_loss')}[1h]))",
                    "loss / best",
                ),
            ),
            Limit("ModelRegressed", 1.2),
        ),
        Panel(
            "Scores of the newest block",
            "Quantiles of the updates' median scores. Above 0 early on, close to 0 when the model has converged.",
            "percentunit",
            (Query(chain_max(pick("flobc_score_ratio"), "quantile"), "q {{quantile}}"),),
            width=HALF,
        ),
        Panel(
            "Training",
            "Seconds that a trainer's local training takes: median and the slowest twentieth.",
            "s",
            tuple(
                Query(quantile(share, "flobc_job_seconds", matchers=('work="train"',)), f"q {share:g}")
                for share in (0.5, 0.95)
            ),
            width=HALF,
        ),
    ),
)
CONTRIBUTION = Row(
    "Who contributes",
    (
        Panel(
            "Updates decided, by outcome",
            "Mostly accepted. Superseded ones were good, but their trainer had a newer one in the round.",
            "cps",
            (Query(_DECIDED, "{{reason}}"),),
            kind="stack",
        ),
        Panel(
            "Rejected share",
            "Well below a half. It rises when the model has converged, for then nothing improves it.",
            "percentunit",
            (Query(pick("flobc:updates_rejected:ratio10m"), "of ten minutes"),),
            Limit("RejectionRateHigh", 0.5),
        ),
        Panel(
            "Staleness",
            "Mean number of blocks between an update's base and the block that decides it. 0 under bsp.",
            "short",
            (
                Query(
                    f"{chain_max(rate('flobc_update_staleness_rounds_sum'))} / "
                    f"{chain_max(rate('flobc_update_staleness_rounds_count'))}",
                    "mean",
                ),
            ),
        ),
        Panel(
            "Accepted, by trainer",
            "Every trainer has a share. Only the first 32 trainers have a line of their own.",
            "short",
            (Query(_OUTCOMES.replace("{}", "accepted"), "{{trainer}}"),),
            kind="stack",
        ),
        Panel(
            "Rejected, by trainer",
            "Few, and of all trainers. One trainer alone: it is broken or hostile.",
            "short",
            (Query(_OUTCOMES.replace("{}", "rejected"), "{{trainer}}"),),
            kind="stack",
        ),
        Panel(
            "Trainers",
            "Rounds wait for the active ones. Fewer active than admitted: some were not accepted for long.",
            "short",
            (Query(chain_max(pick("flobc_trainers"), "standing"), "{{standing}}"),),
        ),
    ),
)
TRUST = Row(
    "Who is trusted",
    (
        Panel(
            "Trust by trainer",
            "Equal at first. A trainer that harms falls towards the floor and weighs little.",
            "percentunit",
            (Query(chain_max(pick("flobc_trainer_trust_share_ratio"), "trainer"), "{{trainer}}"),),
            width=THIRD,
        ),
        Panel(
            "Trust, quantiles",
            "Shares of all trust, over all trainers. The further apart, the more differently they are trusted.",
            "percentunit",
            (Query(chain_max(pick("flobc_trust_share_ratio"), "quantile"), "q {{quantile}}"),),
        ),
        Panel(
            "Concentration of trust",
            "Gini coefficient: 0 when all have the same, towards 1 when one has all. It grows slowly, if at all.",
            "percentunit",
            (Query(chain_max(pick("flobc_trust_gini_ratio")), "Gini"),),
        ),
        Panel(
            "Trust of the first trainer",
            "Its share of all trust. With 10 trainers a tenth at first.",
            "percentunit",
            (Query(chain_max(pick("flobc_trust_top_share_ratio", 'top="1"')), "the first"),),
            Limit("TrustConcentrated", 0.5),
        ),
        Panel(
            "Trust of the first few",
            "How much the most trusted 1, 3 and 10 hold together.",
            "percentunit",
            (Query(chain_max(pick("flobc_trust_top_share_ratio"), "top"), "first {{top}}"),),
        ),
        Panel(
            "Weight of the heaviest few",
            "How much of the newest block's weights the heaviest 1, 3 and 10 updates have.",
            "percentunit",
            (Query(chain_max(pick("flobc_weight_top_share_ratio"), "top"), "heaviest {{top}}"),),
        ),
    ),
)
BOARD = Board(
    "flobc-training",
    "FLoBC: training story",
    "Does the model get better, and thanks to whom?",
    (GLANCE, LEARNING, CONTRIBUTION, TRUST),
)
