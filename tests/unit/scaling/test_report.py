"""A load test's report: every form says the same, and marked points are told apart."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from flobc.composition.scaling.figures import compute_figures
from flobc.composition.scaling.measurement import Measurement
from flobc.composition.scaling.plan import LoadPlan
from flobc.composition.scaling.report import describe_finding, write_report
from tests.unit.scaling.test_figures import PLAN, STEPS, measure

BUSY = 9


def write(output: Path, measurements: list[Measurement], plan: LoadPlan = PLAN) -> None:
    write_report(plan, "this machine", output, measurements)


def test_the_report_in_all_its_forms(tmp_path: Path) -> None:
    write(tmp_path, [measure(step, share=0.95 if step.trainers == BUSY else 0.3) for step in STEPS])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text())))
    data = json.loads((tmp_path / "report.json").read_text())
    text = (tmp_path / "report.md").read_text()
    assert [row["ratio"] for row in rows] == [point["ratio"] for point in data["points"]] == [s.name for s in STEPS]
    for row, point in zip(rows, data["points"], strict=True):
        assert float(row["updates_per_s"]) == point["updates_per_s"]
        assert float(row["round_p99_s"]) == point["round_p99_s"]
        assert float(row["cores_kafka"]) == point["cores"]["kafka"] == 0.5
        assert row["marked"] == str(point["marked"]) == str(row["ratio"] == "9:1")
    assert "| 9:1 *marked* |" in text
    assert "| 7:3 |" in text
    assert "1 of 5 points had a machine above 80% busy" in text
    assert f"**{data['saturated']} saturates it**" in text
    picture = (tmp_path / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 10_000


def test_a_report_of_nothing_says_so_and_draws_nothing(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert "Nothing is measured yet." in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "report.png").exists()


def test_a_report_of_one_point_names_no_ratio_that_saturates(tmp_path: Path) -> None:
    write(tmp_path, [measure(STEPS[1])])
    data = json.loads((tmp_path / "report.json").read_text())
    assert (data["best"], data["saturated"], data["fit"]) == ("7:3", None, None)
    assert "Too few points" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("per_trainer_s", "words"),
    [
        (0.0, "Nothing saturates: updates a second grow with every trainer"),
        (0.01, "so no ratio of this plan saturates it"),
        (0.16, "so **7:3 saturates it**"),
        (3.0, "so every ratio of this plan is beyond that"),
    ],
)
def test_the_finding_says_which_ratio_saturates(per_trainer_s: float, words: str) -> None:
    """The knee is at 0.414 * 2 s / per_trainer_s trainers."""
    measurements = [measure(step, round_s=2.0 + per_trainer_s * step.trainers) for step in STEPS]
    assert words in describe_finding(PLAN, compute_figures(PLAN, measurements))
