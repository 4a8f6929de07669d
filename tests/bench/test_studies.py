"""A study must count what was trained, find what it has run, and not flatter: no interval, no claim."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import UsageError
from flobc.learning.determinism import build_generator
from flobc.learning.task import DataSource, TrainSettings
from flobc.learning.torch_task import _iterate_batches
from tests.bench import studies, study_decentralised, study_noise
from tests.bench.study_cells import CellFile, Estimate, estimate_mean, format_columns, judge_bar
from tests.bench.study_runs import compute_settings_digest

CELL = {"study": "noise", "seed": 1}
RESULT = {"accuracy": 0.5}


@pytest.fixture(scope="module")
def noise_file(tmp_path_factory):
    """A whole tiny study's file."""
    path = tmp_path_factory.mktemp("studies") / "noise.jsonl"
    assert studies.main(["noise", "--task", "digits:softmax", "--rounds", "1", "--seeds", "1", "--out", str(path)]) == 0
    return path


def test_a_finished_run_is_found_again(tmp_path):
    path = tmp_path / "deep" / "cells.jsonl"
    CellFile.open(path, "here", resume=False).append(CELL, RESULT)
    again = CellFile.open(path, "there", resume=True)
    assert again.find(CELL) == RESULT
    assert again.find({**CELL, "seed": 2}) is None


def test_a_half_written_line_is_run_again_and_spoils_nothing(tmp_path):
    path = tmp_path / "cells.jsonl"
    CellFile.open(path, "here", resume=False).append(CELL, RESULT)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"cell": {"study": "no')
    CellFile.open(path, "here", resume=True).append({**CELL, "seed": 2}, RESULT)
    found = CellFile.open(path, "here", resume=True)
    assert [record["cell"]["seed"] for record in found.records] == [1, 2]


def test_finished_runs_are_not_overwritten_unasked(tmp_path):
    path = tmp_path / "cells.jsonl"
    CellFile.open(path, "here", resume=False).append(CELL, RESULT)
    with pytest.raises(UsageError, match="holds 1 finished runs; add --resume"):
        CellFile.open(path, "here", resume=False)


def test_the_interval_is_students():
    # Five values of standard deviation sqrt(2.5): 2.776 is Student's quantile for four degrees of freedom.
    found = estimate_mean([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.half == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)


def test_one_value_has_no_interval_and_meets_no_bar_wholly():
    one = estimate_mean([0.1])
    assert str(one) == "0.10"
    assert judge_bar(one, 0.5).endswith("not by the whole interval")


@given(st.floats(-5, 5), st.floats(0, 5))
def test_a_bar_is_met_by_the_mean_and_by_the_interval_apart(mean, half):
    words = judge_bar(Estimate(mean, half), 0.5)
    assert ("MISSED" in words) == (mean > 0.5)
    assert words.endswith(": met") == (mean <= 0.5 and mean + half <= 0.5)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 3))
def test_steps_are_counted_as_they_are_taken(examples, batch_size, epochs):
    settings = TrainSettings(batch_size=batch_size, epochs=epochs)
    taken = len(list(_iterate_batches(examples, settings, build_generator(0))))
    assert study_decentralised.count_steps(examples, settings) == taken


@given(st.lists(st.tuples(st.text("ab", max_size=9), st.text("ab", max_size=9)), min_size=1))
def test_columns_line_up(lines):
    widths = {len(line) for line in format_columns(lines).split("\n")}
    assert len(widths) == 1


def build_cell(**changes):
    values = {"side": "federated", "task": "digits:softmax", "rounds": 2, "epochs": 1, "learning_rate": 0.01}
    return study_decentralised.Cell(**{**values, "seed": 3, "split": "validation", **changes})


def test_tuning_never_sees_the_test_set():
    source = DataSource()
    tuning = study_decentralised.get_split_task(build_cell()).load(source)
    final = study_decentralised.get_split_task(build_cell(split="test")).load(source)
    assert tuning.test.digest() == tuning.validation.digest() == final.validation.digest()
    assert final.test.digest() != tuning.test.digest()


def test_the_tuning_seed_is_not_measured():
    plan = study_decentralised.Plan(
        "digits", 2, 1, (0.1, 0.2, 0.3), studies.list_seeds(studies.parse_options(["noise"]))
    )
    cells = plan.list_cells({"centralised": 0.1, "federated": 0.2})
    assert study_decentralised.TUNING_SEED not in {cell.seed for cell in cells}
    assert {cell.side: cell.learning_rate for cell in cells} == {"centralised": 0.1, "federated": 0.2}
    assert len(cells) == 10
    assert len(plan.list_tuning_cells()) == 6


def test_the_best_learning_rate_wins_and_the_loss_tells_equals_apart():
    cells = [build_cell(side=side, learning_rate=rate) for side in ("federated", "centralised") for rate in (0.1, 0.2)]
    figures = [(0.9, 0.3), (0.9, 0.2), (0.8, 0.3), (0.7, 0.1)]
    results = [{"accuracy": accuracy, "loss": loss} for accuracy, loss in figures]
    assert study_decentralised.choose_rates(cells, results) == {"federated": 0.2, "centralised": 0.1}


def test_both_sides_take_the_same_passes_over_the_same_examples():
    federated = study_decentralised.measure_federation(build_cell(), None)
    central = study_decentralised.measure_central(build_cell(side="centralised"), None)
    repeated = study_decentralised.measure_central(build_cell(side="centralised"), None)
    # Seven shards round up to whole batches seven times, the union once: at most 6 more steps a pass.
    assert 0 <= federated["steps"] - central["steps"] <= 2 * 6
    assert central["loss"] == repeated["loss"]
    assert len(federated["curve"]) == 3
    assert federated["accuracy"] == pytest.approx(federated["curve"][-1], abs=1e-6)


def test_the_gap_is_taken_seed_by_seed():
    gap = study_decentralised.estimate_gap({"centralised": [98.0, 90.0, 95.0], "federated": [97.0, 89.0, 94.0]})
    assert (gap.mean, gap.half) == (1.0, 0.0)


def test_noise_cells_differ_in_the_noise_alone():
    cells = study_noise.list_cells("mnist", 15, None, (1, 2))
    for quiet, noisy in pairwise(cells[:2]):
        assert {**noisy.describe(), "noise_step": 0.0} == quiet.describe()
        assert quiet.build_settings(None).params == noisy.build_settings(None).params
    assert cells[1].build_settings(None).attacks == ("noise_step:step=0.1",)
    assert cells[0].build_settings(None).attacks == ()
    assert {cell.build_settings(None).params.sync.scheme for cell in cells} == {"bap"}


def test_other_params_or_training_make_another_cell():
    settings = build_cell().build_settings(None)
    scoring = dataclasses.replace(settings.params.scoring, probe_shift=settings.params.scoring.probe_shift + 1)
    others = [
        dataclasses.replace(settings, params=dataclasses.replace(settings.params, scoring=scoring)),
        dataclasses.replace(settings, training={**settings.training, "batch_size": 7}),
    ]
    digests = {compute_settings_digest(each) for each in (settings, *others)}
    assert len(digests) == 3
    assert compute_settings_digest(build_cell(seed=9).build_settings(None)) in digests


def test_a_study_counts_what_became_of_the_updates(noise_file):
    quiet, noisy = [json.loads(line) for line in noise_file.read_text(encoding="utf-8").splitlines()]
    assert (quiet["cell"]["noise_step"], noisy["cell"]["noise_step"]) == (0.0, 0.1)
    for record in (quiet, noisy):
        result = record["result"]
        # bap closes at five of seven decided.
        assert sum(result["accepted"]) + sum(result["rejected"]) >= 5
        assert sum(result["trust_shares"]) == pytest.approx(1, abs=1e-5)


def test_a_resumed_study_runs_nothing_twice(noise_file, capsys):
    before = noise_file.read_bytes()
    again = ["noise", "--task", "digits:softmax", "--rounds", "1", "--seeds", "1", "--out", str(noise_file)]
    assert studies.main(again) == 1
    assert "add --resume" in capsys.readouterr().err
    assert studies.main([*again, "--resume"]) == 0
    assert "cost of the noise" in capsys.readouterr().out
    assert noise_file.read_bytes() == before


def test_missing_data_ends_in_one_sentence(tmp_path, capsys):
    assert studies.main(["noise", "--data", str(tmp_path)]) == 1
    assert "flobc data fetch mnist" in capsys.readouterr().err
