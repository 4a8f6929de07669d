"""Named starting points for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flobc.composition.settings import RunSettings
from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.protocol.bounds import PPM
from flobc.protocol.params import AggregationParams, ChainParams, ScoringParams
from flobc.protocol.sync.params import UNBOUNDED_STALENESS, SyncParams
from flobc.protocol.trust.params import TrustParams
from flobc.protocol.trust.weights import WeightParams


def build_default() -> RunSettings:
    """Six trainers, four validators (one may fail), bulk synchronous, ``flobc_plus`` trust.

    Of updates that pull together none enters the model (docs/adr/0015).
    """
    aggregation = AggregationParams(rule="coherence_filter")
    return RunSettings(params=ChainParams(sync=SyncParams(scheme="bsp"), aggregation=aggregation))


def build_paper() -> RunSettings:
    """The paper's best mix on its own task: MNIST, seven trainers, three validators, whole updates scored.

    As published, every trainer holds the whole training set and takes a fresh random sample each
    round: 250 batches of 32, one pass over the 8,000 digits where the original drew 18,000 of 60,000.
    Whole updates, because that tells noisy trainers apart best where all shards are alike
    (docs/adr/0003).
    """
    return RunSettings(
        task="mnist",
        trainers=7,
        validators=3,
        rounds=30,
        params=ChainParams(
            sync=SyncParams(scheme="bsp"), scoring=ScoringParams(probe_shift=0, accept_tolerance=30_000)
        ),
        sharding="shared",
        training={"steps": 250},
    )


def build_prototype() -> RunSettings:
    """The published prototype's rules, so that its experiments can be repeated.

    Late updates at full weight without a bound, weights not renormalised, no acceptance threshold,
    no norm bound, accuracy scores, credit per update, barriers only at the period.
    **Source**: FLoBC, arXiv 2112.11873, and its published code.
    """
    params = ChainParams(
        sync=SyncParams(
            scheme="bap",
            period_ms=60_000,
            majority_ratio_ppm=PPM,
            quota=3,
            max_staleness=UNBOUNDED_STALENESS,
            late_at_full_weight=True,
            barrier_only_at_period=True,
        ),
        trust=TrustParams(policy="flobc"),
        weights=WeightParams(alpha_halves=0, min_mass_ppm=PPM, max_share_ppm=PPM),
        scoring=ScoringParams(metric="accuracy", score_step=1, accept_tolerance=PPM, probe_shift=0),
        aggregation=AggregationParams(norm_factor_ppm=0),
        codec="float32",
    )
    return RunSettings(task="mnist", trainers=7, validators=3, rounds=15, params=params)


PRESETS: dict[str, Callable[[], RunSettings]] = {
    "default": build_default,
    "paper": build_paper,
    "prototype": build_prototype,
}


def get_preset(name: str) -> RunSettings:
    """Return a preset's settings. **Raises** UsageError for an unknown name."""
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}{suggest(name, PRESETS)} Use one of {', '.join(PRESETS)}.")
    return replace(PRESETS[name](), preset=name)
