"""Whatever a world's network and fates are, its chain verifies, and one seed gives one chain."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flobc.errors import FlobcError
from tests.support.worlds import simulate_text

LATENCIES = ("1ms", "80ms", "{lognormal: {median: 30ms, sigma: 1.0}}", "{pareto: {least: 5ms, alpha: 1.2, most: 3s}}")
TRAININGS = ("500ms", "{uniform: {from: 100ms, to: 3s}}", "{lognormal: {median: 1s, sigma: 0.8}}")
SYNCS = ("sync: bsp", "sync: ssp, quota: 2", "sync: bap, majority_ratio: 50%", "sync: bap, quota: 3, max_staleness: 2")
SHARES = ("0%", "5%", "40%")


@st.composite
def scenarios(draw: st.DrawFn) -> str:
    """A world that always has a quorum of validators: at most one of four is cut off, down or dishonest at a time."""
    run = f"trainers: 5, validators: 4, rounds: 3, period: 3s, time_limit: 10min, seed: {draw(st.integers(0, 99))}"
    participation = draw(st.sampled_from(("", ", participation: 60%")))
    victim = draw(st.integers(0, 3))
    start, length = draw(st.integers(0, 3_000)), draw(st.integers(1, 6_000))
    fate = draw(
        st.sampled_from(
            (
                f"partitions: [{{from: {start}ms, to: {start + length}ms, trainers: 40%, validators: [{victim}]}}]",
                f"churn: {{events: [{{at: {start}ms, what: crash, trainers: [0], validators: [{victim}]}}, "
                f"{{at: {start + length}ms, what: return, trainers: [0], validators: [{victim}]}}]}}",
                "churn: {rates: [{trainers: 60%, crash_every: 2s, back_after: 1s}]}",
                "attacks: {trainers: [sign_flip@0.2], validators: [random@0.25]}",
                "attacks: {validators: [silent@0.25]}",
            )
        )
    )
    return "\n".join(
        (
            f"run: {{{run}, {draw(st.sampled_from(SYNCS))}{participation}}}",
            f"network: {{trainers: {{latency: {draw(st.sampled_from(LATENCIES))}, jitter: 50%}}, "
            f"validators: {{latency: {draw(st.sampled_from(LATENCIES[:3]))}}}, loss: {draw(st.sampled_from(SHARES))}, "
            f"retry: 100ms, duplication: {draw(st.sampled_from(SHARES))}, "
            f"reordering: {draw(st.sampled_from(SHARES))}, held_back: 400ms}}",
            f"speeds: {{training: {draw(st.sampled_from(TRAININGS))}}}",
            f"clocks: {{drift: {draw(st.sampled_from(('0%', '10%')))}}}",
            fate,
        )
    )


def play(text: str, workers: int) -> tuple[str, int]:
    """Return where the world ended; a chain that stopped would be an error here."""
    try:
        found = simulate_text(text, workers=workers)
    except FlobcError as error:
        raise AssertionError(f"{error}\n{text}") from error
    assert found.verified.height == found.results.height == 3
    assert found.verified.complete
    assert not found.state.core.evidence
    assert not any(block.body.evidence for block in [found.state.head])
    return found.results.head, found.results.virtual_ms


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_every_world_makes_its_blocks_and_they_verify(text: str) -> None:
    play(text, workers=1)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_one_seed_gives_one_chain_on_any_number_of_threads(text: str) -> None:
    assert play(text, workers=1) == play(text, workers=2)
