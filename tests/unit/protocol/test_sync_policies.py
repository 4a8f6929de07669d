from dataclasses import replace

import pytest

from flobc.errors import UsageError
from flobc.protocol.sync.params import UNBOUNDED_STALENESS, SyncParams, validate_sync_params
from flobc.protocol.sync.policies import (
    Close,
    Open,
    RoundView,
    Timer,
    advance_step,
    compute_discount,
    decide,
    is_base_allowed,
    is_k_allowed,
)

TRAINERS = tuple(bytes([i]) * 32 for i in range(4))
BSP, SSP, BAP = (SyncParams(scheme=scheme, period_ms=1000) for scheme in ("bsp", "ssp", "bap"))
ALL = [BSP, SSP, BAP]


def view(*decided, active=TRAINERS, **more):
    trainers = tuple(TRAINERS[i] for i in decided)
    return RoundView(active, trainers, more.pop("updates", len(decided)), **more)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheme": "asp"},
        {"period_ms": 0},
        {"period_ms": 1.5},
        {"majority_ratio_ppm": 0},
        {"majority_ratio_ppm": 1_000_001},
        {"max_staleness": -1},
        {"quota": 0},
        {"min_updates": 0},
        {"liveness_rounds": 0},
        {"late_at_full_weight": 1},
        {"barrier_only_at_period": None},
    ],
)
def test_invalid_params(wrong):
    """SYNC-1."""
    with pytest.raises(UsageError, match=rf"sync\.{next(iter(wrong))} .*found"):
        validate_sync_params(replace(BSP, **wrong))


@pytest.mark.parametrize("params", [*ALL, SyncParams(max_staleness=UNBOUNDED_STALENESS)])
def test_valid_params(params):
    """SYNC-1."""
    validate_sync_params(params)


@pytest.mark.parametrize("params", [BSP, SSP])
def test_all_active_decided_is_complete(params):
    """SYNC-3: a trainer that is not active neither completes nor delays."""
    assert decide(params, view(0, 1, 2, 3)) == Close("complete")
    assert decide(params, view(0, 1, 2)) == Open(Timer(0, 1000))
    assert decide(params, view(0, 1, active=TRAINERS[:2])) == Close("complete")
    assert decide(params, view(2, 3, active=TRAINERS[:2])) == Open(Timer(0, 1000))
    assert decide(params, view(0, 1, 2, active=TRAINERS[:2])) == Close("complete")


@pytest.mark.parametrize("params", ALL)
def test_count_conditions_need_an_active_trainer(params):
    """SYNC-3, SYNC-4: in an open chain nobody is active at first, and a deadline closes."""
    nobody_active = view(0, 1, active=())
    assert decide(params, nobody_active) == Open(Timer(0, 1000))
    assert decide(params, advance_step(nobody_active)) == Close("deadline")


@pytest.mark.parametrize("params", ALL)
def test_no_condition_closes_with_too_few_updates(params):
    """SYNC-2."""
    params = replace(params, min_updates=6)
    everybody = view(0, 1, 2, 3, updates=5)
    assert decide(params, everybody) == Open(Timer(0, 1000))
    assert decide(params, advance_step(everybody)) == Open(None)
    assert isinstance(decide(params, replace(everybody, decided_updates=6)), Close)


@pytest.mark.parametrize(
    ("ratio_ppm", "needed"),
    [(1, 1), (250_000, 1), (250_001, 2), (500_000, 2), (600_000, 3), (750_001, 4), (1_000_000, 4)],
)
def test_majority_is_rounded_up(ratio_ppm, needed):
    """SYNC-4, with four active trainers."""
    params = replace(BAP, majority_ratio_ppm=ratio_ppm)
    assert decide(params, view(*range(needed))) == Close("majority")
    assert decide(params, view(*range(needed - 1))) == Open(Timer(0, 1000))


@pytest.mark.parametrize("params", [BSP, BAP])
def test_deadline_closes_with_what_is_there(params):
    """SYNC-6: one dead trainer stalls nobody."""
    assert decide(params, advance_step(view(0))) == Close("deadline")


@pytest.mark.parametrize("params", ALL)
def test_deadline_needs_an_expiry(params):
    """SYNC-5: a round may open with updates decided, by votes that came in after the last one closed."""
    opened = view(0, decided_at_step=1, finished_at_step=1)
    assert decide(params, opened) == Open(Timer(0, 1000))


@pytest.mark.parametrize(("finished", "duration_ms"), [(0, 1000), (1, 750), (2, 500), (3, 250)])
def test_extension_is_the_unfinished_share_of_a_period(finished, duration_ms):
    """SYNC-7: and it does not shrink while it runs."""
    extended = advance_step(view(*range(finished)))
    assert decide(SSP, extended) == Open(Timer(1, duration_ms))
    if finished < 3:
        more = replace(extended, decided_trainers=TRAINERS[:3], decided_updates=3)
        assert decide(SSP, more) == Open(Timer(1, duration_ms))
    assert decide(SSP, advance_step(replace(extended, decided_updates=3))) == Close("deadline")


def test_extension_ends_early_when_all_are_done():
    """SYNC-3, SYNC-7."""
    extended = advance_step(view(0, 1))
    assert decide(SSP, replace(extended, decided_trainers=TRAINERS, decided_updates=4)) == Close("complete")


def test_extension_lasts_a_millisecond_at_least():
    """SYNC-7: a timer of 0 ms would expire before it starts."""
    assert decide(replace(SSP, period_ms=1), advance_step(view(0, 1))) == Open(Timer(1, 1))


@pytest.mark.parametrize("params", [BSP, BAP, replace(SSP, barrier_only_at_period=True)])
def test_empty_deadline_waits_without_a_timer(params):
    """SYNC-8: nothing decided, so no block and no timer; then one period from the first decided update."""
    waiting = advance_step(view())
    if params.scheme == "ssp":
        assert decide(params, waiting) == Open(Timer(1, 1000))
        waiting = advance_step(waiting)
    assert decide(params, waiting) == Open(None)
    first = replace(waiting, decided_trainers=TRAINERS[:1], decided_updates=1)
    assert decide(params, first) == Open(Timer(waiting.step, 1000))
    assert decide(params, advance_step(first)) == Close("deadline")


def test_barrier_only_at_period():
    """SYNC-10: the prototype's bsp and ssp wait for the barrier; its bap never does."""
    everybody = view(0, 1, 2, 3)
    for params in (BSP, SSP):
        prototype = replace(params, barrier_only_at_period=True)
        assert decide(prototype, everybody) == Open(Timer(0, 1000))
        assert decide(prototype, advance_step(everybody)) == Close("deadline")
    assert decide(replace(BAP, barrier_only_at_period=True), everybody) == Close("majority")


@pytest.mark.parametrize("params", [SSP, BAP])
def test_bases(params):
    """SYNC-11."""
    params = replace(params, max_staleness=2)
    assert [base for base in range(-1, 9) if is_base_allowed(params, base, 6)] == [4, 5, 6]
    assert [base for base in range(-3, 9) if is_base_allowed(params, base, 1)] == [0, 1]


def test_bases_without_a_bound():
    """SYNC-11: the prototype takes any base, in any scheme."""
    for params in ALL:
        prototype = replace(params, max_staleness=UNBOUNDED_STALENESS, late_at_full_weight=True)
        assert [base for base in (-1, 0, 500, 900, 901) if is_base_allowed(prototype, base, 900)] == [
            0,
            500,
            900,
        ]


def test_bsp_allows_no_late_update():
    """SYNC-11."""
    assert [base for base in range(9) if is_base_allowed(BSP, base, 6)] == [6]


def test_work_ahead():
    """SYNC-12."""
    for params, quota in ((BSP, 1), (SSP, 3), (BAP, 3)):
        assert [k for k in range(-2, 6) if is_k_allowed(params, k)] == list(range(quota))


def test_discount():
    """SYNC-13."""
    assert [compute_discount(BAP, staleness) for staleness in range(4)] == [65536, 32768, 21845, 16384]
    assert compute_discount(replace(BAP, late_at_full_weight=True), 3) == 65536
