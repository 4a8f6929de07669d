"""An ``adaptive`` round waits for as many trainers as were worth their time in the last one (SYNC-15, SYNC-16)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flobc.protocol.chain.block import EMPTY_BODY, Closing
from flobc.protocol.consensus.state import find_arrivals
from flobc.protocol.sync.adaptive import Arrival, choose_target, compute_worth
from flobc.protocol.sync.params import SyncParams
from flobc.protocol.sync.policies import Close, Open, RoundView, Timer, advance_step, decide
from tests.support.dialogue import Chain, build_params

TRAINERS = tuple(bytes([i]) * 32 for i in range(10))
ADAPTIVE = SyncParams(scheme="adaptive", period_ms=60_000, majority_ratio_ppm=500_000)
FULL = 65_536


def arrive(*times_ms):
    """Arrivals of a round after so many ms, late updates among them."""
    return tuple(Arrival(ms) for ms in times_ms)


ALIKE = arrive(900, 920, 950, 960, 1000, 1010, 1020, 1030, 1050, 1100)


@pytest.mark.parametrize(
    ("arrivals", "wanted"),
    [
        ((), 10),
        (ALIKE, 10),
        (arrive(*[1000] * 9, 4000), 9),
        (arrive(*[1000] * 5, *[4000] * 5), 5),
        (arrive(*[0] * 10), 10),
        (arrive(50, *[1000] * 9), 10),
        (arrive(1000, 1000), 5),
        (arrive(1, *[4000] * 9), 10),
    ],
    ids=["nothing known", "alike", "one slow", "half slow", "all at once", "just late", "too few", "one at once"],
)
def test_the_target_is_where_most_work_comes_in_a_time(arrivals, wanted):
    """SYNC-16."""
    assert choose_target(arrivals, 5, 10, 4) == wanted


def test_what_comes_late_is_worth_less_and_what_comes_too_late_nothing():
    """SYNC-16: every second round half an update, every third one a third of one."""
    times = (1000, 1500, 3000)
    assert compute_worth(times, 3000, 4) == 3 * FULL
    assert compute_worth(times, 1000, 4) == FULL + FULL // 4 + FULL // 9
    assert compute_worth(times, 1000, 1) == FULL + FULL // 4
    assert compute_worth(times, 1000, 0) == FULL


def view(decided, arrivals=ALIKE, active=TRAINERS, **more):
    return RoundView(active, TRAINERS[:decided], decided, arrivals=arrivals, **more)


def test_the_first_round_waits_for_all():
    assert decide(ADAPTIVE, view(9, ())) == Open(Timer(0, 60_000))
    assert decide(ADAPTIVE, view(10, ())) == Close("majority")


def test_a_round_closes_at_its_target():
    half_slow = arrive(*[1000] * 5, *[4000] * 5)
    assert decide(ADAPTIVE, view(4, half_slow)) == Open(Timer(0, 60_000))
    assert decide(ADAPTIVE, view(5, half_slow)) == Close("majority")


def test_whoever_answers_at_once_closes_no_round():
    """SYNC-16: three of ten send empty updates in a millisecond; the others are waited for all the same."""
    rushed = arrive(1, 1, 1, *[1000] * 7)
    assert decide(ADAPTIVE, view(3, rushed)) == Open(Timer(0, 60_000))
    assert decide(ADAPTIVE, view(9, rushed)) == Open(Timer(0, 60_000))


def test_a_smaller_federation_is_waited_for_only_as_far_as_it_goes():
    assert decide(ADAPTIVE, view(3, active=TRAINERS[:3])) == Close("majority")


def test_those_who_never_come_are_given_up_at_the_deadline():
    """SYNC-6."""
    assert decide(ADAPTIVE, advance_step(view(2))) == Close("deadline")


def test_an_unknown_past_never_waits_for_nobody():
    assert decide(ADAPTIVE, view(1, (), active=())) == Open(Timer(0, 60_000))


def test_arrivals_are_the_lower_medians_of_the_votes_in_the_last_block():
    """SYNC-15: a liar's elapsed time moves nothing beyond the honest ones."""
    chain = Chain(trainers=2, params=build_params("adaptive"))
    assert chain.state.round_view.arrivals == ()
    for trainer, times_ms in ((0, (300, 310, 9_000_000)), (1, (700, 710, 1))):
        update = chain.update(trainer)
        for validator, elapsed_ms in enumerate(times_ms):
            batch = chain.build_vote(validator, update)
            timed = replace(batch, votes=(replace(batch.votes[0], elapsed_ms=elapsed_ms),))
            chain.say(timed, chain.validators[validator])
    chain.commit()
    assert sorted(item.elapsed_ms for item in chain.state.round_view.arrivals) == [310, 700]
    assert chain.state.head.header.closing is Closing.MAJORITY


def test_other_schemes_do_not_look_at_arrivals():
    assert find_arrivals(EMPTY_BODY) == ()
    for scheme in ("bsp", "ssp", "bap"):
        params = replace(ADAPTIVE, scheme=scheme)
        assert decide(params, view(7)) == decide(params, view(7, arrive(1)))
