"""What is made of cells' records: measures, means, curves, and verdicts on what was claimed."""

import pytest

from flobc.simulation.experiments.claims import Verdict, judge
from flobc.simulation.experiments.figures import build_round_curve, build_time_curve
from flobc.simulation.experiments.loading import read_experiment
from flobc.simulation.experiments.measures import MEASURES, Outcome
from tests.support.experiments import TINY, make_found, make_outcome

CLAIM = TINY[TINY.index("  - claim") :]


def compute(measure: str, outcome: Outcome, target: float | None = 50) -> float | None:
    return MEASURES[measure].compute(outcome, target)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("final_accuracy", 70),
        ("settled_accuracy", 60),
        ("best_accuracy", 80),
        ("best_round", 4),
        ("target_round", 3),
        ("target_s", 3),
        ("virtual_s", 6),
        ("rounds_per_minute", 60),
        ("accepted", 3),
        ("rejected_share", 25),
        ("payload_bytes", 100),
        ("attackers_trust", 10),
        ("attackers_weight", 0),
        ("highest_trust", 60),
        ("lowest_honest_trust", 30),
        ("stopped", 0),
        ("backdoor_success", None),
        ("seconds", None),
    ],
)
def test_measure(measure: str, expected: float | None) -> None:
    found = compute(measure, make_outcome([0.1, 0.3, 0.5, 0.8, 0.7, 0.7]))
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_target_that_is_not_reached_has_no_time() -> None:
    assert compute("target_s", make_outcome([0.1, 0.2]), 90) is None


def test_a_chain_without_blocks_has_few_measures() -> None:
    stopped = make_outcome([], status="stopped")
    found = {name for name in MEASURES if compute(name, stopped) is not None}
    assert "stopped" in found
    assert not found & {"final_accuracy", "best_round", "payload_bytes", "rounds_per_minute"}


def test_a_curve_over_rounds_goes_as_far_as_every_seed() -> None:
    curve = build_round_curve([make_outcome([0.1, 0.2, 0.3]), make_outcome([0.3, 0.4])])
    assert curve.xs == (1, 2)
    assert [estimate.mean for estimate in curve.estimates] == pytest.approx([20, 30])


def test_a_curve_over_time_shows_the_newest_model_at_each_moment() -> None:
    curve = build_time_curve([make_outcome([0.1, 0.9, 0.9])], until_s=2.5)
    assert (curve.xs[0], curve.xs[-1]) == (1, 2.5)
    shown = {round(x, 6): estimate.mean for x, estimate in zip(curve.xs, curve.estimates, strict=True)}
    assert all(mean == pytest.approx(10 if x < 2 else 90) for x, mean in shown.items())


def judge_text(claim: str, values: dict[str, list[float]]) -> Verdict:
    """Judge a claim where each trust policy has final accuracies (percent) by seed."""
    text = TINY.replace(CLAIM, f"  - {{claim: Said., source: ours, part: one, measure: final_accuracy, {claim}}}\n")
    outcomes = {
        ((name,), seed): make_outcome([accuracy / 100])
        for name, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies, 1)
    }
    return judge(read_experiment("made.yaml", text).experiment.paper[0], make_found(text, outcomes))


LESS = "of: {trust: none}, less: {trust: flobc_plus}"


def test_a_difference_is_taken_seed_by_seed() -> None:
    """Seeds scatter by 20 points, their differences by none: the whole interval keeps the bound."""
    verdict = judge_text(f"{LESS}, at_most: 1", {"none": [60, 80], "flobc_plus": [59.5, 79.5]})
    assert verdict.met is True
    assert "by the whole interval" in verdict.words
    assert verdict.words.startswith("0.5 ± ")


def test_a_bound_that_the_mean_keeps_and_the_interval_does_not() -> None:
    verdict = judge_text(f"{LESS}, at_most: 1", {"none": [60, 80], "flobc_plus": [60, 79]})
    assert verdict.met is True
    assert "by the mean, not by the whole interval" in verdict.words


def test_a_bound_that_is_missed() -> None:
    assert judge_text(f"{LESS}, at_most: 1", {"none": [60, 80], "flobc_plus": [58, 78]}).met is False


def test_the_worst_point_of_an_axis_decides() -> None:
    values = {"none": [80, 80], "flobc_plus": [40, 40]}
    verdict = judge_text("over: trust, at_least: 50", values)
    assert verdict.met is False
    assert "at flobc_plus, the worst of 2" in verdict.words


def test_a_point_that_was_not_measured_leaves_a_claim_open() -> None:
    verdict = judge_text("over: trust, at_least: 50", {"none": [80, 80]})
    assert verdict.met is None
    assert "1 of 2 points are not measured" in verdict.words


def test_what_was_missed_anywhere_is_missed_though_not_all_is_measured() -> None:
    assert judge_text("over: trust, at_least: 50", {"none": [40]}).met is False


def test_nothing_measured_leaves_a_claim_open() -> None:
    assert judge_text("over: trust, at_least: 50", {}).met is None


def test_the_best_point_of_an_axis() -> None:
    values = {"none": [80.0, 82.0], "flobc_plus": [60.0, 61.0]}
    assert judge_text("over: trust, highest: none", values).met is True
    assert judge_text("over: trust, lowest: none", values).met is False


def test_another_best_point_that_is_not_clearly_better() -> None:
    verdict = judge_text("over: trust, highest: flobc_plus", {"none": [70, 81], "flobc_plus": [72, 78]})
    assert verdict.met is False
    assert "no clear difference" in verdict.words
