"""Sentences for people: one thing is not called by its plural."""

from __future__ import annotations

from pathlib import Path

import pytest

from flobc.cli.run import describe_opening
from flobc.cli.scaling import show_running
from flobc.composition.settings import RunSettings
from flobc.composition.wording import show_count


@pytest.mark.parametrize(("count", "words"), [(0, "0 blocks"), (1, "1 block"), (2, "2 blocks")])
def test_one_thing_is_no_plural(count: int, words: str) -> None:
    assert show_count(count, "block") == words


def test_a_run_of_one_trainer_says_so() -> None:
    opening = describe_opening(RunSettings(trainers=1, validators=1, rounds=1), Path("run"), None)
    assert "1 trainer, 1 validator, 1 round, seed 0" in opening
    assert "2 trainers" in describe_opening(RunSettings(trainers=2), Path("run"), None)


def test_one_node_runs_and_two_run() -> None:
    assert (show_running(1, "trainer"), show_running(2, "validator")) == ("1 trainer runs", "2 validators run")
