"""Spans that a local system wrote: one update's are found, put in order and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.local.traces import arrange, find_update, get_traces_file, read_spans, select_update
from flobc.errors import DataError, UsageError
from tests.support.spans import write_line

UPDATE, OTHER = "3f9a" + "0" * 60, "3fb0" + "0" * 60


def write(root: Path, node: str, name: str, place: str, parent: str = "", **more: object) -> None:
    """A span that began at the time that its name ends with, in milliseconds, and took one."""
    trace_id, span_id = place.split("/")
    start_ns = int(name.rpartition(" ")[2]) * 1_000_000
    line = {"name": name, "trace_id": trace_id, "span_id": span_id, "parent_id": parent, "start_ns": start_ns}
    line |= {"end_ns": start_ns + 1_000_000, "attributes": more.get("attributes", {})}
    line["links"] = [{"trace_id": trace_id, "span_id": "x"} for trace_id in more.get("links", ())]  # type: ignore[attr-defined]
    write_line(get_traces_file(root, node), json.dumps(line))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "trainer-0", "train 10", "A/1", attributes={"update": UPDATE})
    write(tmp_path, "validator-1", "vote 30", "A/3", "2", attributes={"update": UPDATE, "score": 7})
    write(tmp_path, "trainer-0", "publish 20", "A/2", "1", attributes={"update": UPDATE})
    write(tmp_path, "validator-0", "receive 25", "A/4", "2", attributes={"update": UPDATE})
    write(tmp_path, "validator-0", "aggregate 40", "B/5", links=["A", "C"])
    write(tmp_path, "ledger-0", "record 50", "B/6", "5", links=["A"])
    write(tmp_path, "trainer-1", "train 11", "C/7", attributes={"update": OTHER})
    return tmp_path


def test_an_updates_spans_stand_below_each_other_with_the_block_that_took_it_in(root: Path) -> None:
    spans = read_spans(root)
    update = find_update(spans, "3F9")
    assert update == UPDATE
    assert [(depth, span.node, span.name) for depth, span in arrange(select_update(spans, update))] == [
        (0, "trainer-0", "train 10"),
        (1, "trainer-0", "publish 20"),
        (2, "validator-0", "receive 25"),
        (2, "validator-1", "vote 30"),
        (0, "validator-0", "aggregate 40"),
        (1, "ledger-0", "record 50"),
    ]


def test_digits_that_name_none_or_two_are_refused(root: Path) -> None:
    spans = read_spans(root)
    with pytest.raises(UsageError, match="2 updates begin with 3f; give more digits"):
        find_update(spans, "3f")
    with pytest.raises(UsageError, match="No span speaks of an update 77"):
        find_update(spans, "77")


@pytest.mark.parametrize("digits", ["", "xyz", "3f 9a"])
def test_what_is_no_digits_names_no_update(digits: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing begins every id: of the only update in a system it would have shown that one."""
    assert main(["trace", "--dir", str(root), digits]) == 2
    assert f"hex digits, not {digits!r}" in capsys.readouterr().err


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_told(root: Path) -> None:
    file = get_traces_file(root, "trainer-0")
    with file.open("a") as end:
        end.write('{"name": "tra')
    count = len(read_spans(root))
    with file.open("a") as end:
        end.write("\n{}\n")
    with pytest.raises(DataError, match=r"Line 3 of .*trainer-0.jsonl is no span"):
        read_spans(root)
    assert count == 7


def test_the_command_shows_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--dir", str(root), UPDATE[:6]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"update {UPDATE}"
    assert lines[1].split() == ["service", "span", "began", "ms", "took", "ms", "what"]
    assert lines[5].split() == ["validator-1", "vote", "30", "20.0", "1.0", "score", "7"]
    assert main(["trace", "--dir", str(root), UPDATE[:6], "--json"]) == 0
    first, *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["name"], first["start_ms"], first["duration_ms"], first["depth"]) == ("train 10", 0.0, 1.0, 0)
    assert (last["service"], last["links"]) == ("ledger-0", ["A"])


def test_a_system_without_spans_is_told_how_to_have_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--dir", str(tmp_path), "3f"]) == 2
    assert f"start its services with: flobc up --traces --dir {tmp_path}" in capsys.readouterr().err
