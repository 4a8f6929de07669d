"""The study of attacks compares with the better of two quiet runs, and its plain rules have no defence in them."""

from __future__ import annotations

import dataclasses

import pytest

from flobc.protocol.params import validate_chain_params
from tests.bench import studies, study_attacks
from tests.bench.study_attacks import ALL, FEWER, RULES, AttackCell, build_params, compute_costs, list_cells


def test_plain_rules_are_federated_averaging() -> None:
    plain = build_params("plain")
    validate_chain_params(plain)
    assert (plain.trust.policy, plain.aggregation.rule) == ("none", "weighted_mean")
    assert (plain.scoring.accept_tolerance, plain.aggregation.norm_factor_ppm) == (1_000_000, 0)
    assert build_params("default").aggregation.rule == "coherence_filter"


def test_three_of_ten_attack_in_every_cell_but_the_quiet_ones() -> None:
    cells = list_cells("digits", 25, ("alie", "nan"), (1, 2))
    assert len(cells) == 2 * 4 * 2
    for cell in cells:
        attacks = cell.build_settings(None).attacks
        assert attacks == (() if cell.attack in (ALL, FEWER) else (f"{cell.attack}@0.3",))


def test_cells_of_other_rules_are_told_apart() -> None:
    cells = [AttackCell("digits", 25, rules, "alie", 1) for rules in RULES]
    assert len({cell.describe()["settings"] for cell in cells}) == 2
    assert cells[0].describe() != dataclasses.replace(cells[0], attack="nan").describe()


def test_a_cost_is_held_against_the_better_quiet_run_of_its_seed() -> None:
    found = {
        ("default", ALL, 1): {"accuracy": 0.98},
        ("default", FEWER, 1): {"accuracy": 0.99},
        ("plain", "alie", 1): {"accuracy": 0.79},
    }
    assert compute_costs("plain", "alie", found, [1]) == pytest.approx([20.0])


def test_a_tiny_study_says_who_got_in_and_resumes(tmp_path, capsys) -> None:
    path = tmp_path / "attacks.jsonl"
    asked = ["attacks", "--task", "digits:softmax", "--rounds", "1", "--seeds", "1", "--attacks", "nan", "backdoor"]
    assert studies.main([*asked, "--out", str(path)]) == 0
    first = capsys.readouterr().out
    assert first.count("nobody, seven honest") == 2
    assert f"bar {study_attacks.BAR_POINTS:g}" in first
    line = next(line for line in first.splitlines() if line.startswith("nan"))
    assert line.split()[4:6] == ["0.0", "3.0"]
    assert studies.main([*asked, "--out", str(path), "--resume"]) == 0
    assert capsys.readouterr().out == first
