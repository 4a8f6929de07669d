"""One update's trace through every process of a whole system, and what strangers' headers do to it: nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from flobc.cli.main import main
from flobc.composition.archive import open_archive
from flobc.composition.local.traces import WrittenSpan, find_update, read_spans, select_update
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.parts import get_topic_names
from flobc.protocol.chain.block import Block
from flobc.protocol.params import get_quorum
from tests.support.spans import TRACE, find_orphans, is_connected
from tests.support.system import LEDGERS, OPTIONS, VALIDATORS, WholeSystem, whole_system
from tests.support.topics import read_whole

BLOCKS = 4
QUORUM = get_quorum(VALIDATORS)
SIZES = (0, 1, 54, 55, 56, 1_000, 65_536, 900_000)
COPIES = 5


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    with whole_system(tmp_path_factory.mktemp("traced") / "chain", (*OPTIONS, "--traces")) as running:
        yield running


def read_trace_ids(system: WholeSystem, name: str) -> set[str]:
    """Every trace that a service's log speaks of."""
    found: set[str] = set()
    for line in system.get_process(name).log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            continue
        found.update((said.get("trace_id", ""), *said.get("linked_trace_ids", ())))
    return found - {""}


def find_block(root: Path) -> Block:
    """A block in the middle that accepted something: every service has long finished with it."""
    archive = open_archive(root)
    try:
        blocks = [archive.block(height) for height in range(2, archive.height)]
    finally:
        archive.close()  # type: ignore[attr-defined]
    return next(block for block in blocks if block is not None and block.accepted)


def list_nodes(spans: list[WrittenSpan], name: str) -> set[str]:
    return {span.node for span in spans if span.name == name}


def test_headers_of_every_size_change_nothing(system: WholeSystem) -> None:
    """WIRE-15: anybody may write them: beside garbage, beside good records again, by the thousand."""
    system.wait_for_blocks(1)
    with system.open_topics() as (log, _):
        good = [entry for entry in read_whole(log) if entry.value[0] in (1, 3, 4)][:COPIES]
    assert any(entry.traces for entry in good), "validators say where their records belong"
    producer = KafkaProducer(bootstrap_servers=system.plan.kafka, max_request_size=2_000_000)
    for topic in get_topic_names(load_genesis(system.root)):
        for size in SIZES:
            for header in (b"\xff" * size, (TRACE.encode() * (1 + size // 55))[:size]):
                for value in (b"garbage", *(entry.value for entry in good)):
                    producer.send(topic, value=value, key=b"x", headers=[("traceparent", header)])
        producer.send(topic, value=good[0].value, headers=[("traceparent", TRACE.encode())] * 5_000)
        producer.send(topic, value=b"\x10", headers=[("traceparent", b""), ("", b"x"), ("tracestate", b"y" * 9_000)])
    producer.flush(60)
    producer.close(10)
    system.wait_for_blocks(BLOCKS)
    report = system.check()
    assert report.complete


def test_one_updates_spans_are_one_trace_from_its_trainer_to_the_ledgers(
    system: WholeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    system.wait_for_blocks(BLOCKS)
    block = find_block(system.root)
    system.down()  # what was not written yet is written now
    spans = read_spans(system.root)
    update = find_update(spans, block.accepted[0].update.hex())
    found = select_update(spans, update)
    (trace,) = {span.trace_id for span in found if span.attributes.get("update") == update}

    (trainer,) = list_nodes([span for span in found if span.attributes.get("update") == update], "train")
    for name in ("receive", "score", "vote", "aggregate", "ready", "seal"):
        assert len(list_nodes(found, name)) >= QUORUM, name
    records = [span for span in found if span.name == "record"]
    assert {span.node for span in records} == {f"ledger-{index}" for index in range(LEDGERS)}
    assert all(span.attributes["height"] == block.height and trace in span.links for span in records)
    assert is_connected(found)
    assert find_orphans(found) == []
    assert {span.node.partition("-")[0] for span in found if "/" in span.name} >= {"validator"}, "gRPC is in it"

    assert trace in read_trace_ids(system, trainer)
    told = [name for name in system.list_names("validator") if trace in read_trace_ids(system, name)]
    assert len(told) >= QUORUM
    assert all(trace in read_trace_ids(system, name) for name in system.list_names("ledger"))

    capsys.readouterr()
    assert main(["trace", "--dir", str(system.root), update[:16]]) == 0
    shown = capsys.readouterr().out
    print(shown)
    assert "record" in shown
    assert trainer in shown
