"""A load plan's file: what it may say, and that every mistake is named with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flobc.composition.scaling.plan import Drain, Step, Window, parse_ratio
from flobc.composition.scaling.plan_file import load_load_plan, read_plan
from flobc.errors import DataError, UsageError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "load"
RATIOS: dict[str, Any] = {"nodes": 10, "ratios": ["9:1", "7:3"]}


def test_ratios_are_shared_out_among_the_nodes() -> None:
    assert read_plan({"nodes": 20, "ratios": ["7:3", "1:1"]}, "x").steps == (Step(14, 6), Step(10, 10))


def test_everything_that_may_be_said_is_read() -> None:
    plan = read_plan(
        {
            "name": "both",
            "steps": [{"trainers": 3, "validators": 4}],
            "repeats": 5,
            "warm_up": {"rounds": 2},
            "measure": {"seconds": 1.5},
            "drain": {"quiet_s": 1},
            "ready_timeout_s": 9,
            "max_machine_share": 1,
            "system": {"task": "digits", "period": 3},
        },
        "file",
    )
    assert (plan.name, plan.steps, plan.repeats) == ("both", (Step(3, 4),), 5)
    assert (plan.warm_up, plan.measure) == (Window(rounds=2), Window(seconds=1.5))
    assert plan.drain == Drain(quiet_s=1.0)
    assert plan.system == (("task", "digits"), ("period", "3"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_plans(path: Path) -> None:
    assert load_load_plan(path).steps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repaets": 3}, "there is no key repaets; did you mean 'repeats'?"),
        ({"steps": [{"trainers": 1, "validators": 1}]}, "either steps"),
        ({"nodes": None}, "nodes must be a whole number from 2"),
        ({"ratios": []}, "ratios must be a list with one item"),
        ({"ratios": ["9:1", "8:3"]}, "ratios[1] '8:3' does not divide 10 nodes"),
        ({"ratios": ["9-1"]}, "ratios[0] must be TRAINERS:VALIDATORS"),
        ({"ratios": ["10:0"]}, "ratios[0] must be TRAINERS:VALIDATORS"),
        ({"ratios": [541]}, "ratios[0] must be a text such as '7:3'; put it in quotation marks"),
        ({"ratios": ["9:1", "9:1"]}, "9:1 stands there twice"),
        ({"repeats": 0}, "repeats must be a whole number from 1"),
        ({"repeats": True}, "repeats must be a whole number"),
        ({"warm_up": {"round": 1}}, "no key warm_up.round; did you mean 'rounds'?"),
        ({"measure": {"seconds": 1, "rounds": 1}}, "measure takes either seconds or rounds"),
        ({"measure": {}}, "measure takes either"),
        ({"measure": {"seconds": -1}}, "measure.seconds must be a number of seconds above 0, not -1"),
        ({"drain": {"quiet": 1}}, "no key drain.quiet; did you mean 'quiet_s'?"),
        ({"max_machine_share": 80}, "max_machine_share must be a share above 0 and up to 1, not 80"),
        ({"system": {"trainers": 3}}, "system.trainers is what the steps say"),
        ({"system": {"task": ["digits"]}}, "system.task must be a text or a number"),
        ({"system": "digits"}, "system must be options of flobc up"),
        ({"name": 3}, "name must be a text"),
    ],
)
def test_invalid_plans_are_refused_with_the_key(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_plan({**RATIOS, **change}, "x")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"steps": [{"trainers": 3}]}, "steps[0] lacks validators"),
        ({"steps": [{"trainers": 3, "validators": 0}]}, "steps[0].validators must be a whole number from 1"),
        ({"steps": [3]}, "steps[0] must have the keys trainers, validators"),
        ({"ratios": ["1:1"]}, "nodes and ratios go together"),
        ({}, "either steps"),
        ([], "the plan must have the keys"),
    ],
)
def test_invalid_steps_are_refused_with_the_key(data: Any, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_plan(data, "x")
    assert words in str(refusal.value)


def test_invalid_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no plan .*nowhere"):
        load_load_plan(tmp_path / "nowhere.yaml")
    path = tmp_path / "plan.yaml"
    path.write_text("a: [")
    with pytest.raises(DataError, match="no YAML"):
        load_load_plan(path)
    path.write_text("nods: 3\n")
    with pytest.raises(UsageError, match=r"plan.yaml: there is no key nods; did you mean 'nodes'"):
        load_load_plan(path)


def test_a_ratio_of_one_to_nobody_is_none() -> None:
    with pytest.raises(UsageError, match="0:1"):
        parse_ratio("0:1", 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [1, 1]\nname: [*a, *a]\n", "aliases"),
        (f"nodes: {'9' * 5_000}\nratios: ['7:3']\n", "no YAML"),
        ("name: 2001-99-99\n", "no YAML"),
        (f"name: [{'1, ' * 100_000}1]\n", "name must be a text, not [1, 1,"),
    ],
    ids=["aliases", "digits", "a date", "a long list"],
)
def test_a_mistake_of_any_size_is_one_short_sentence(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises((DataError, UsageError)) as caught:
        load_load_plan(tmp_path / "plan.yaml")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500
