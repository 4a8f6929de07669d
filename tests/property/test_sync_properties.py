import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flobc.protocol.sync.adaptive import Arrival, choose_target
from flobc.protocol.sync.params import SCHEMES, SyncParams
from flobc.protocol.sync.policies import Close, Decision, Open, RoundView, advance_step, decide

TRAINERS = tuple(bytes([i]) * 32 for i in range(6))
EXPIRE = -1

params_strategy = st.builds(
    SyncParams,
    scheme=st.sampled_from(SCHEMES),
    period_ms=st.integers(1, 100_000),
    majority_ratio_ppm=st.integers(1, 1_000_000),
    min_updates=st.integers(1, 4),
    barrier_only_at_period=st.booleans(),
)
active_strategy = st.sets(st.sampled_from(TRAINERS)).map(lambda trainers: tuple(sorted(trainers)))
# A trainer's number: one more of its updates is decided; EXPIRE: the running timer expires.
events_strategy = st.lists(st.integers(EXPIRE, len(TRAINERS) - 1), max_size=30)


def after_decided(view: RoundView, trainer: bytes) -> RoundView:
    return replace(
        view,
        decided_trainers=tuple(sorted({*view.decided_trainers, trainer})),
        decided_updates=view.decided_updates + 1,
    )


arrivals_strategy = st.lists(st.builds(Arrival, st.integers(0, 100_000)), max_size=8).map(tuple)


def play(
    params: SyncParams, active: tuple[bytes, ...], events: list[int], arrivals: tuple[Arrival, ...] = ()
) -> list[tuple[RoundView, Decision]]:
    """The round's views and decisions until it closes; an expiry without a running timer cannot happen."""
    view = RoundView(active, arrivals=arrivals)
    history = [(view, decide(params, view))]
    for event in events:
        decision = history[-1][1]
        if isinstance(decision, Close):
            break
        if event == EXPIRE and decision.timer is None:
            continue
        view = advance_step(view) if event == EXPIRE else after_decided(view, TRAINERS[event])
        history.append((view, decide(params, view)))
    return history


@given(params_strategy, active_strategy, events_strategy)
def test_never_closes_without_enough(params, active, events):
    """SYNC-2."""
    for view, decision in play(params, active, events):
        if view.decided_updates < params.min_updates:
            assert isinstance(decision, Open)


@given(params_strategy, active_strategy, events_strategy)
def test_nothing_spins(params, active, events):
    """SYNC-8: at most three expiries, and a timer runs for the current step or not at all."""
    for view, decision in play(params, active, events):
        assert view.step <= 3
        if isinstance(decision, Open) and decision.timer is not None:
            assert decision.timer.step == view.step
            assert 1 <= decision.timer.duration_ms <= params.period_ms


@given(params_strategy, active_strategy, events_strategy)
def test_a_round_with_enough_always_ends(params, active, events):
    """SYNC-6 to SYNC-8: once enough are decided, expiries alone close the round; nobody can hold it open."""
    enough = [0] * params.min_updates
    decision = play(params, active, [*events, *enough, EXPIRE, EXPIRE, EXPIRE, EXPIRE])[-1][1]
    assert isinstance(decision, Close)


@given(params_strategy, active_strategy, events_strategy)
def test_a_running_timer_keeps_its_duration(params, active, events):
    """SYNC-9: decided updates neither stop nor change it."""
    history = play(params, active, events)
    for (before, first), (after, second) in itertools.pairwise(history):
        if before.step == after.step and first.timer is not None and isinstance(second, Open):
            assert second.timer == first.timer


@given(params_strategy, active_strategy, st.lists(st.sampled_from(TRAINERS)), st.data())
def test_order_of_decided_updates_does_not_matter(params, active, trainers, data):
    """SYNC-14."""
    one = other = RoundView(active)
    for trainer in trainers:
        one = after_decided(one, trainer)
    for trainer in data.draw(st.permutations(trainers)):
        other = after_decided(other, trainer)
    assert decide(params, one) == decide(params, other)


@given(params_strategy, active_strategy, events_strategy, st.sampled_from(TRAINERS))
def test_another_decided_update_keeps_a_closed_round_closed(params, active, events, trainer):
    """SYNC-14."""
    view, decision = play(params, active, events)[-1]
    if isinstance(decision, Close):
        assert isinstance(decide(params, after_decided(view, trainer)), Close)


@given(params_strategy, active_strategy, events_strategy, arrivals_strategy)
def test_an_adaptive_round_always_ends(params, active, events, arrivals):
    """SYNC-2, SYNC-6 to SYNC-8: whatever the last round was like, nobody can hold this one open."""
    params = replace(params, scheme="adaptive")
    enough = [0] * params.min_updates
    history = play(params, active, [*events, *enough, EXPIRE, EXPIRE, EXPIRE, EXPIRE], arrivals)
    assert isinstance(history[-1][1], Close)
    for view, decision in history:
        if view.decided_updates < params.min_updates:
            assert isinstance(decision, Open)


@given(params_strategy, active_strategy, st.lists(st.sampled_from(TRAINERS)), arrivals_strategy)
def test_when_all_are_there_an_adaptive_round_waits_no_longer(params, active, trainers, arrivals):
    """SYNC-16, and never with less than a ``bap`` round of the same ratio."""
    view = RoundView(active, arrivals=arrivals)
    for trainer in [*trainers, *active]:
        view = after_decided(view, trainer)
        closes = isinstance(decide(replace(params, scheme="adaptive"), view), Close)
        assert not closes or isinstance(decide(replace(params, scheme="bap"), view), Close)
    if active and view.decided_updates >= params.min_updates:
        assert closes


@given(st.permutations(range(6)), st.lists(st.builds(Arrival, st.integers(0, 9_000)), min_size=6))
def test_a_target_depends_on_no_order(order, arrivals):
    """SYNC-16."""
    shuffled = [arrivals[at] for at in order] + arrivals[6:]
    assert choose_target(arrivals, 2, 10, 4) == choose_target(shuffled, 2, 10, 4)
