"""Measurements are kept one by one, and those of one plan never pass for another's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flobc.composition.scaling.measurement import MEASUREMENTS, SOURCE, Measurement, MeasurementFile
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.errors import UsageError

PLAN = LoadPlan("two", (Step(1, 1), Step(2, 1)))
FOUND = Measurement(1, 1, 1, 2.0, 4, 3, (1.0, 1.0), {"trainer": 0.1}, 0.5, {"chain": "holds"})


def test_the_plan_is_kept_as_it_was_given(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, source="# mine\nnodes: 2\n")
    MeasurementFile(tmp_path, plan, "here")
    assert (tmp_path / SOURCE).read_text() == plan.source
    MeasurementFile(tmp_path, dataclasses.replace(plan, source="nodes: 2"), "here")  # a comment is no change


def test_what_was_measured_is_there_again(tmp_path: Path) -> None:
    MeasurementFile(tmp_path / "out", PLAN, "here").append(FOUND)
    file = MeasurementFile(tmp_path / "out", PLAN, "here")
    second = dataclasses.replace(FOUND, repeat=2, machine_share=None)
    file.append(second)
    assert file.load() == [FOUND, second]


def test_a_line_that_was_half_written_is_measured_again(tmp_path: Path) -> None:
    file = MeasurementFile(tmp_path, PLAN, "here")
    file.append(FOUND)
    with (tmp_path / MEASUREMENTS).open("a") as lines:
        lines.write('{"trainers": 2, "valid')
    assert file.load() == [FOUND]
    file.append(dataclasses.replace(FOUND, repeat=3))
    assert [each.repeat for each in file.load()] == [1, 3]


@pytest.mark.parametrize(
    ("plan", "target", "words"),
    [
        (dataclasses.replace(PLAN, repeats=7), "here", "another repeats"),
        (dataclasses.replace(PLAN, system=(("task", "digits"),)), "here", "another system"),
        (PLAN, "there", r"another target \(here\)"),
    ],
)
def test_invalid_other_plan(plan: LoadPlan, target: str, words: str, tmp_path: Path) -> None:
    MeasurementFile(tmp_path, PLAN, "here")
    with pytest.raises(UsageError, match=words):
        MeasurementFile(tmp_path, plan, target)


def test_invalid_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no load test"):
        MeasurementFile(tmp_path, PLAN, "here")
    assert [path.name for path in tmp_path.iterdir()] == ["letter"]
