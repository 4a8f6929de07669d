"""Recording rules and alerts: each fires and stays silent, asks for what is counted, and says what to do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from flobc.cli.commands import build_parser
from flobc.cli.parser import parse
from tests.support.chart import CHART, ROOT
from tests.support.metric_names import find_unknown_names
from tests.support.prometheus import run_promtool

RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
PLACEHOLDERS = {"H": "1", "ADDRESS": "127.0.0.1:1", "ADDRESSES": "127.0.0.1:1"}


def load_rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def load_alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in load_rules() if "alert" in rule}


def test_promtool_finds_the_rules_sound() -> None:
    run_promtool("check", "rules", *map(str, RULES))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(path: Path) -> None:
    run_promtool("test", "rules", str(path))


def test_each_alert_is_tried_both_ways() -> None:
    tried: dict[str, set[bool]] = {}
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for one in case["alert_rule_test"]:
                tried.setdefault(one["alertname"], set()).add(bool(one["exp_alerts"]))
    assert tried == {name: {True, False} for name in load_alerts()}


def test_rules_ask_for_nothing_that_nobody_counts() -> None:
    recorded = {rule["record"] for rule in load_rules() if "record" in rule}
    for rule in load_rules():
        assert not find_unknown_names(rule["expr"], recorded), rule


def test_each_alert_has_its_runbook_and_says_so() -> None:
    alerts = load_alerts()
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*alerts, "README"}
    table = (RUNBOOKS / "README.md").read_text()
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description", "runbook"} == rule["annotations"].keys()
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
        assert f"| [{name}]({name}.md) | {rule['labels']['severity']} |" in table
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert text.index("## What to look at") < text.index("## What to do")


def list_commands() -> list[str]:
    """Every command line of ours that a runbook tells to give."""
    texts = [path.read_text() for path in RUNBOOKS.glob("*.md")]
    spans = [span for text in texts for span in re.findall(r"`(flobc [^`]+)`|^(flobc .+)$", text, re.MULTILINE)]
    return sorted({" ".join((inline or line).split()) for inline, line in spans})


@pytest.mark.parametrize("command", list_commands())
def test_the_commands_of_runbooks_are_there(command: str) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]
    parse(build_parser(), words)  # raises what the user would be told


def test_links_of_runbooks_lead_somewhere() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
            assert (path.parent / target).is_file(), f"{path.name}: {target}"
