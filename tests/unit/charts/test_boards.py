"""Grafana's boards: what is committed is what is generated, and every panel says what it needs to say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flobc.adapters.prometheus import CATALOGUE
from tests.support.boards import BOARDS, load_panels
from tests.support.chart import CHART, ROOT
from tests.support.metric_names import find_names, find_unknown_names

ELSEWHERE = {"flobc_build_info": "the boards' variables ask for it"}
"""Metrics that no panel and no rule asks for, and why there are such."""
THRESHOLD = re.compile(r"> (\d+(?:\.\d+)?)$")


def load_rules() -> list[dict[str, Any]]:
    paths = sorted((CHART / "files" / "rules").glob("*.yaml"))
    return [rule for path in paths for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


every_board = pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)


def test_what_is_committed_is_what_is_generated() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="needs grafana-foundation-sdk")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    command = [sys.executable, "-m", "dashboards", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_the_boards_that_the_manual_names() -> None:
    assert {path.stem.removeprefix("flobc-") for path in BOARDS} == {
        "training",
        "chain",
        "services",
        "servers",
        "scaling",
    }


@every_board
def test_every_panel_says_what_it_shows_and_of_whom(path: Path) -> None:
    recorded = {rule["record"] for rule in load_rules() if "record" in rule}
    titles = [panel["title"] for panel in load_panels(path)]
    assert len(titles) == len(set(titles)) > 5
    for panel in load_panels(path):
        name = panel["title"]
        assert len(panel["description"].split()) > 1, name
        assert panel["fieldConfig"]["defaults"]["unit"], name
        assert panel["targets"], name
        for target in panel["targets"]:
            asked = target["expr"]
            assert panel["datasource"]["uid"] == target["datasource"]["uid"] == "${datasource}", name
            assert asked.count('namespace=~"$namespace", release=~"$release"') == asked.count("{"), name
            assert not find_unknown_names(asked, recorded), name
            assert not re.search(r"\b(?:rate|increase)\([^\[]*\[(?!\$__rate_interval\])", asked), name
            assert target["legendFormat"], name


@every_board
def test_boards_let_one_choose_and_lead_to_each_other(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "namespace", "release"]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["flobc"], True, True)
    assert board["tags"] == ["flobc"]


@every_board
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_is_a_threshold_of_some_panel() -> None:
    limits: dict[str, set[float]] = {}
    for path in BOARDS:
        for panel in load_panels(path):
            for alert in re.findall(r"Alert: (\w+) \(docs/runbooks/\1\.md\)\.", panel["description"]):
                steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                assert len(steps) == 2, panel["title"]
                limits.setdefault(alert, set()).add(steps[1]["value"])
    rules = {rule["alert"]: rule["expr"] for rule in load_rules() if "alert" in rule}
    assert limits.keys() == rules.keys()
    for alert, expression in rules.items():
        found = THRESHOLD.search(expression)
        if found and float(found[1]) > 0 and alert != "TrustConcentrated":
            assert limits[alert] == {float(found[1])}, alert


def test_whatever_is_counted_is_shown_or_watched() -> None:
    asked = {rule["expr"] for rule in load_rules()}
    asked |= {target["expr"] for path in BOARDS for panel in load_panels(path) for target in panel["targets"]}
    used = {re.sub(r"_(?:bucket|sum|count)$", "", name) for expression in asked for name in find_names(expression)}
    assert {metric.name for metric in CATALOGUE} - used == ELSEWHERE.keys()
