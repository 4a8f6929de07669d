"""What viewers see while a chain grows, lies, and while its ledger is away."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flobc.adapters.prometheus import Metrics
from flobc.protocol.chain.block import EMPTY_BODY, Block
from tests.support.explored import ExploredChain, Viewer, explored
from tests.support.scraping import scrape


def read_event(lines: Iterator[str], height: int) -> Any:
    """The first event that tells of a height."""
    for line in lines:
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            if event["height"] >= height:
                return event
    raise AssertionError(f"the stream ended before height {height}")


def test_viewers_are_told_of_each_new_block() -> None:
    with explored(2) as viewer:
        with viewer.client.stream("GET", "/events") as answer:
            lines = answer.iter_lines()
            first = read_event(lines, 2)
            assert first["condition"] == "live"
            viewer.world.grow()
            assert '"/blocks/3"' in read_event(lines, 3)["html"]
        viewer.wait_for(lambda: not viewer.explorer.hub.streams, "the end of a stream whose viewer left")
        # of the blocks that came as they were made, it knows how fast they come
        viewer.world.grow(3)
        viewer.wait_for_height(6)
        assert viewer.explorer.queries.measure_rate() is not None


def test_a_chain_without_blocks_has_pages_too() -> None:
    with explored(0) as viewer:
        for path in ("/", "/blocks", "/trainers", "/validators", "/training", "/verify", "/blocks.csv", "/updates.csv"):
            viewer.get(path)
        assert "There are no blocks yet." in viewer.get("/").text
        assert "no blocks yet" in viewer.get("/blocks/1", 404).text
        viewer.wait_for(lambda: viewer.client.get("/readyz").status_code == 200, "readiness")
        viewer.world.grow()
        viewer.wait_for_height(1)
        assert "There are no blocks yet." not in viewer.get("/").text


def test_pages_stay_while_the_ledger_is_away_and_go_on_when_it_is_back() -> None:
    with explored(3) as viewer:
        viewer.world.shut()
        viewer.wait_for(lambda: viewer.explorer.follower.condition.trouble is not None, "trouble")
        text = viewer.get("/").text
        assert "Reconnecting." in text
        assert '"/blocks/3"' in text
        assert "Nobody answers for block 2" in viewer.get("/blocks/2", 503).text
        assert viewer.client.get("/readyz").status_code == 200
        viewer.world.grow(2)
        viewer.world.open()
        viewer.wait_for_height(5)
        viewer.wait_for(lambda: "Reconnecting." not in viewer.get("/").text, "recovery")
        viewer.get("/blocks/5")


def change_header(block: Block) -> Block:
    return dataclasses.replace(block, header=dataclasses.replace(block.header, model=bytes(32)))


def cut_certificate(block: Block) -> Block:
    return dataclasses.replace(block, certificate=block.certificate[:2])


def change_score(block: Block) -> Block:
    first, *others = block.body.decisions
    decisions = (dataclasses.replace(first, score=first.score + 1000), *others)
    return dataclasses.replace(block, body=dataclasses.replace(block.body, decisions=decisions))


def drop_body(block: Block) -> Block:
    return dataclasses.replace(block, body=EMPTY_BODY)


@pytest.mark.parametrize(
    ("lie", "rule"),
    [(change_header, "CHAIN-6"), (cut_certificate, "CHAIN-6"), (change_score, "CHAIN-7"), (drop_body, "CHAIN-7")],
)
def test_a_block_that_does_not_hold_is_marked_and_the_chain_goes_on(lie: Callable[[Block], Block], rule: str) -> None:
    world = ExploredChain()
    world.grow(5)
    world.blocks.lies[3] = lie
    world.open()
    viewer = Viewer(world)
    try:
        viewer.wait_for_height(5)
        overview = viewer.get("/").text
        assert "do not hold" in overview
        assert rule in overview
        page = viewer.get("/blocks/3").text
        assert "<strong>BROKEN.</strong>" in page
        assert rule in page
        assert "BROKEN" not in viewer.get("/blocks/2").text
        # who changes a header breaks the link to it too
        assert ("BROKEN" in viewer.get("/blocks/4").text) == (lie is change_header)
    finally:
        viewer.close()
        world.shut()


def test_a_block_that_the_ledger_has_lost_is_named_and_waited_for() -> None:
    world = ExploredChain()
    world.grow(4)
    world.blocks.damaged.add(2)
    world.open()
    viewer = Viewer(world)
    try:
        viewer.wait_for(lambda: viewer.explorer.follower.condition.trouble is not None, "trouble")
        assert "no sound copy of blocks from 2 on" in viewer.get("/").text
        viewer.wait_for(lambda: '"/blocks/1"' in viewer.get("/").text, "the block before it")
        world.blocks.damaged.clear()
        viewer.wait_for_height(4)
        viewer.wait_for(lambda: "no sound copy" not in viewer.get("/").text, "recovery")
        world.blocks.damaged.add(3)
        assert "damaged" in viewer.get("/blocks/3", 502).text
    finally:
        viewer.close()
        world.shut()


def test_a_block_that_is_changed_later_is_marked_when_it_is_looked_at() -> None:
    with explored(4) as viewer:
        assert "BROKEN" not in viewer.get("/blocks/2").text
        viewer.world.blocks.lies[3] = change_score
        assert "CHAIN-7" in viewer.get("/blocks/3").text
        viewer.world.blocks.lies[4] = lambda block: dataclasses.replace(
            block, body=dataclasses.replace(block.body, votes=block.body.votes[::-1])
        )
        assert "votes on update" in viewer.get("/blocks/4").text


def run_verification(viewer: Viewer) -> str:
    viewer.explorer.verification._ended_s = 0.0
    assert viewer.client.post("/verify").status_code == 303
    with viewer.client.stream("GET", "/verify/events") as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]
    assert events[-1]["state"] == viewer.explorer.verification.progress.state
    return str(events[-1]["html"])


def test_the_light_client_says_whether_the_chain_holds() -> None:
    with explored(5) as viewer:
        assert "Nothing was verified yet" in viewer.get("/verify").text
        assert "All 5 blocks are linked and certified" in run_verification(viewer)
        head = viewer.world.chain.state.head_digest.hex()
        assert head in viewer.get("/verify").text
        viewer.world.blocks.lies[4] = cut_certificate
        viewer.world.shut()
        viewer.world.open()  # a ledger remembers what it has told
        viewer.wait_for(lambda: "height 4 breaks CHAIN-6" in run_verification(viewer), "a verification that reaches it")
        assert "BROKEN" in viewer.get("/verify").text


def test_many_who_ask_for_a_verification_get_one() -> None:
    with explored(3) as viewer:
        run_verification(viewer)
        first = viewer.explorer.verification.progress
        viewer.client.post("/verify")
        assert viewer.explorer.verification.progress is first


def test_a_ledger_without_states_costs_the_trust_only() -> None:
    world = ExploredChain()
    world.grow(2)
    world.states = type(world.states)()
    world.open()
    viewer = Viewer(world)
    try:
        viewer.wait_for_height(2)
        assert "No state is known yet." in viewer.get("/trainers").text
        assert viewer.explorer.queries.read_totals().broken == 0
        viewer.get(f"/trainers/{world.chain.blocks[0].accepted[0].trainer.hex()}")
    finally:
        viewer.close()
        world.shut()


def read_total(metrics: Metrics, name: str, **labels: str) -> float:
    return scrape(metrics).get((name, tuple(sorted(labels.items()))), 0.0)


def test_requests_viewers_and_verifications_are_counted() -> None:
    """By the page's address with names for what differs: what strangers ask for must not become a label."""
    metrics = Metrics()
    with explored(3, metrics) as viewer:
        for path in ("/blocks/1", "/blocks/2"):
            viewer.get(path)
        viewer.get("/blocks/9", 404)
        viewer.get("/some/stranger's/idea", 404)
        block = {"page": "/blocks/{height}"}
        assert read_total(metrics, "flobc_web_requests_total", **block, status="200") == 2
        assert read_total(metrics, "flobc_web_requests_total", **block, status="404") == 1
        assert read_total(metrics, "flobc_web_requests_total", page="other", status="404") == 1
        viewer.wait_for(
            lambda: read_total(metrics, "flobc_web_request_seconds_count", **block) == 3, "the last answer's end"
        )
        with viewer.client.stream("GET", "/events") as answer:
            lines = answer.iter_lines()
            read_event(lines, 3)
            assert read_total(metrics, "flobc_web_viewers") == 1
            # a stream is timed to its begin: how long somebody watches is no slowness
            assert read_total(metrics, "flobc_web_request_seconds_count", page="/events") == 1
        viewer.wait_for(lambda: read_total(metrics, "flobc_web_viewers") == 0, "the end of the stream")
        viewer.client.post("/verify")
        viewer.wait_for(
            lambda: read_total(metrics, "flobc_web_verifications_total", result="holds") == 1, "the verification"
        )
        viewer.wait_for(lambda: read_total(metrics, "flobc_ready") == 1, "readiness")
        assert read_total(metrics, "flobc_height") == 3
        assert read_total(metrics, "flobc_web_blocks_behind") == 0
