"""Every page of the explorer over a made chain, from a real ledger and over real HTTP."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest
from safetensors.numpy import load

from flobc.composition.explorer.serving import THREADS
from flobc.composition.reports import get_trust_shares
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import Seal
from flobc.protocol.params import SCORE_ONE, Genesis, get_chain_id
from tests.support.explored import HOSTILE, NOWHERE, Viewer, explored

BLOCKS = 60
PAGES = (
    "/",
    "/blocks",
    "/blocks/1",
    f"/blocks/{BLOCKS}",
    "/trainers",
    "/validators",
    "/training",
    "/verify",
    "/search",
)


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with explored(BLOCKS) as found:
        yield found


class Reader(HTMLParser):
    """Notes what a browser would run or load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: set[str] = set()
        self.findings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_foreign = name in ("href", "src", "action") and not str(value).startswith(("/", "#"))
            if name.startswith("on") or name == "style" or is_foreign:
                self.findings.append(f"{tag} {name}={value}")
        if tag == "script":
            self.scripts.add(str(dict(attrs).get("src")))
        elif tag in ("img", "iframe", "object", "embed", "base", "style"):
            self.findings.append(tag)


def get_key(viewer: Viewer, role: str, place: int = 0) -> str:
    return getattr(viewer.world.chain.genesis, f"{role}s")[place].hex()


def get_update(viewer: Viewer, height: int, place: int = 0) -> str:
    return viewer.world.chain.blocks[height - 1].body.decisions[place].update.hex()


def list_paths(viewer: Viewer) -> list[str]:
    return [
        *PAGES,
        f"/trainers/{get_key(viewer, 'trainer')}",
        f"/validators/{get_key(viewer, 'validator')}",
        f"/updates/{get_update(viewer, 7)}",
        "/search?q=zzzz",
        "/nowhere",
    ]


def test_each_page_is_whole_and_runs_nothing_of_a_stranger_s(viewer: Viewer) -> None:
    """Names in a genesis are whatever somebody wrote; the policy would stop what escaped the escaping."""
    for path in list_paths(viewer):
        answer = viewer.client.get(path)
        assert answer.status_code == (404 if path in ("/search?q=zzzz", "/nowhere") else 200)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.text.rstrip().endswith("</html>")
        assert "49" not in re.findall(r"<h1>(.*?)</h1>", answer.text)[0]
        reader = Reader()
        reader.feed(answer.text)
        assert reader.scripts <= {"/static/live.js", "/static/check.js", "/static/compare.js", "/static/verify.js"}
        assert not reader.findings, path
    assert "&lt;script&gt;alert(1)" in viewer.get("/").text


def test_what_is_searched_for_is_shown_as_text(viewer: Viewer) -> None:
    answer = viewer.get("/search", 404, params={"q": HOSTILE})
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/blocks/0", "the blocks 1 to 60"),
        ("/blocks/61", "There is no block 61"),
        ("/blocks/99999999999999999999999", "whole number"),
        ("/blocks/-1", "whole number"),
        ("/blocks/1%00", "whole number"),
        ("/blocks?before=x", "go back to its beginning"),
        ("/blocks/61/bytes", "There is no block 61"),
        ("/updates/abc", "64 hexadecimal digits"),
        (f"/updates/{NOWHERE}", "No block decides an update"),
        (f"/trainers/{NOWHERE}", "No block knows a trainer"),
        (f"/validators/{NOWHERE}", "names no validator"),
        ("/models/2.exe", "not as exe"),
        ("/models/99.json", "There is no block 99"),
        ("/static/..%2f..%2fexplorer.py", "no such page"),
        ("/updates.csv/x", "no such page"),
    ],
)
def test_what_is_not_there_is_one_sentence(viewer: Viewer, path: str, words: str) -> None:
    answer = viewer.get(path, 404)
    sentence = re.findall(r'<p class="empty">(.*?)</p>', answer.text, re.DOTALL)
    assert len(sentence) == 1
    assert words in sentence[0]
    assert sentence[0].endswith(".")


def test_a_block_s_page_shows_header_neighbours_seals_and_updates(viewer: Viewer) -> None:
    block = viewer.world.chain.blocks[29]
    text = viewer.get("/blocks/30").text
    for value in (compute_header_digest(block.header), block.header.parent, block.header.model, block.header.state):
        assert value.hex() in text
    assert all(seal.signature.hex() in text for seal in block.certificate)
    assert all(item.update.hex() in text for item in block.body.decisions)
    assert '"/blocks/29"' in text
    assert '"/blocks/31"' in text
    assert "BROKEN" not in text
    assert "non finite" in text
    assert "low score" in text


def test_the_bytes_are_those_that_were_sealed(viewer: Viewer) -> None:
    """What browsers check themselves (CHAIN-7, CHAIN-8)."""
    blocks = viewer.world.chain.blocks
    found = viewer.get("/blocks/30/bytes").json()
    assert found["header"] == encode(blocks[29].header).hex()
    assert found["decisions"] == [encode(item).hex() for item in blocks[29].body.decisions]
    assert found["next_parent"] == compute_header_digest(blocks[29].header).hex()
    assert viewer.get(f"/blocks/{BLOCKS}/bytes").json()["next_parent"] is None


def test_an_update_s_page_shows_each_vote(viewer: Viewer) -> None:
    block = viewer.world.chain.blocks[6]
    for place, decision in enumerate(block.body.decisions):
        text = viewer.get(f"/updates/{decision.update.hex()}").text
        assert decision.trainer.hex() in text
        for vote in block.body.votes[place].votes:
            assert f'data-vote="{vote.validator.hex()}:{vote.score}"' in text


def test_shares_of_trust_are_those_of_the_state(viewer: Viewer) -> None:
    shares = get_trust_shares(viewer.world.chain.state)
    text = viewer.get("/trainers").text
    shown = re.findall(r'/trainers/(\w{64}).*?<td class="n">([\d.]+) %', text, re.DOTALL)
    assert {key: float(share) for key, share in shown} == pytest.approx(
        {key.hex(): 100 * share for key, share in shares.items()}, abs=0.051
    )


def test_lists_are_turned_page_by_page_and_end(viewer: Viewer) -> None:
    for path in (
        "/blocks",
        f"/trainers/{get_key(viewer, 'trainer', 3)}",
        f"/validators/{get_key(viewer, 'validator')}",
    ):
        heights, address = [], path
        for _ in range(5):
            text = viewer.get(address).text
            table = text[text.index("<tbody>") : text.index("</tbody>")]
            heights += [int(height) for height in re.findall(r'href="/blocks/(\d+)"', table)]
            older = re.findall(r'href="([^"]+)">Older', text)
            if not older:
                break
            address = older[0]
        assert heights == list(range(BLOCKS, 0, -1)), path


def test_search_finds_heights_digests_ids_and_keys(viewer: Viewer) -> None:
    block = viewer.world.chain.blocks[11]
    wanted = {
        "12": "/blocks/12",
        " #12 ": "/blocks/12",
        compute_header_digest(block.header).hex(): "/blocks/12",
        "0x" + compute_header_digest(block.header).hex()[:16].upper(): "/blocks/12",
        block.header.model.hex()[:20]: "/blocks/12",
        block.header.state.hex()[:20]: "/blocks/12",
        get_update(viewer, 12, 1)[:16]: f"/updates/{get_update(viewer, 12, 1)}",
        get_key(viewer, "trainer")[:16]: f"/trainers/{get_key(viewer, 'trainer')}",
        get_key(viewer, "validator", 2)[:16]: f"/validators/{get_key(viewer, 'validator', 2)}",
        get_chain_id(viewer.world.chain.genesis).hex()[:16]: "/",
    }
    for query, path in wanted.items():
        assert viewer.get("/search", 303, params={"q": query}).headers["location"] == path, query
    for query in ("", "0", "61", "abc", "xyz", "9" * 400, "é" * 300):
        answer = viewer.client.get("/search", params={"q": query})
        assert answer.status_code == (404 if query else 200)


def test_a_digest_of_several_things_lists_them(viewer: Viewer) -> None:
    """A block of which nothing is used has its parent's model."""
    text = viewer.get("/search", params={"q": viewer.world.chain.blocks[-1].header.model.hex()}).text
    assert re.findall(r'href="(/blocks/\d+)">', text) == ["/blocks/59", "/blocks/60"]


def test_files_hold_every_block_and_update(viewer: Viewer) -> None:
    blocks = viewer.world.chain.blocks
    rows = list(csv.DictReader(io.StringIO(viewer.get("/blocks.csv").text)))
    assert [int(row["height"]) for row in rows] == list(range(1, BLOCKS + 1))
    assert float(rows[4]["accuracy"]) == blocks[4].header.accuracy / SCORE_ONE
    updates = list(csv.DictReader(io.StringIO(viewer.get("/updates.csv").text)))
    assert [row["update"] for row in updates] == [
        item.update.hex() for block in blocks for item in block.body.decisions
    ]
    assert sum(row["outcome"] == "accepted" for row in updates) == sum(len(block.accepted) for block in blocks)


def test_a_model_is_checked_and_sent(viewer: Viewer) -> None:
    tensors = load(viewer.get("/models/8.safetensors").content)
    assert tensors["w"].tolist() == [8 / 2**24] * 4
    manifest = json.loads(viewer.get("/models/8.json").text)
    assert manifest["model_digest"] == viewer.world.chain.blocks[7].header.model.hex()


def test_a_model_that_nobody_holds_any_more_is_said_to_be_gone(viewer: Viewer) -> None:
    """At once: whoever asks for old models must not make the explorer go through the chain."""
    models = viewer.world.models
    models.keep_only(frozenset(block.header.model for block in viewer.world.chain.blocks[:10]))
    models.asked.clear()
    assert "The model of height 20 is not held" in viewer.get("/models/20.safetensors", 404).text
    assert set(models.asked) == {viewer.world.chain.blocks[19].header.model}


def test_who_asks_for_a_model_while_another_is_sent_is_told_to_come_again(viewer: Viewer) -> None:
    """Who waited would hold a thread that pages need."""
    models = viewer.world.models
    models.asked.clear()
    models.may_answer.clear()
    with ThreadPoolExecutor(1) as others:
        first = others.submit(viewer.get, "/models/7.grid")
        try:
            viewer.wait_for(lambda: bool(models.asked), "the first download")
            second = viewer.get("/models/9.grid", 503, timeout=5.0)
        finally:
            models.may_answer.set()
        assert second.headers["retry-after"]
        assert np.frombuffer(first.result().content[-16:], "<i4").tolist() == [7] * 4


def test_so_many_threads_ask_the_source_at_once_and_no_more(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    get, lock, is_above, now, most = viewer.explorer.source.get_block, threading.Lock(), threading.Event(), [0], [0]

    def hold(height: int) -> Block | None:
        with lock:
            now[0] += 1
            most[0] = max(now[0], most[0])
            if now[0] > THREADS:
                is_above.set()
        is_above.wait(0.3)
        with lock:
            now[0] -= 1
        return get(height)

    monkeypatch.setattr(viewer.explorer.source, "get_block", hold)
    with ThreadPoolExecutor(2 * THREADS) as others:
        heights = range(BLOCKS - 2 * THREADS, BLOCKS)
        for page in others.map(lambda height: viewer.get(f"/blocks/{height}"), heights):
            assert "BROKEN" not in page.text
    assert most[0] == THREADS


def test_two_chains_are_compared_and_nonsense_is_refused(viewer: Viewer) -> None:
    other = viewer.get("/blocks.csv").content
    text = viewer.client.post("/training/compare", content=other).text
    assert text.count("<polyline") == 4
    assert "the other chain goes from" in text
    for nonsense in (
        b"",
        b"height,loss,accuracy\n1,x,y\n",
        b"\xff\xfe",
        b"height,accuracy,loss\n1,nan,1e999\n",
        other[:0] + b"a,b\n",
    ):
        answer = viewer.client.post("/training/compare", content=nonsense)
        if answer.status_code == 200:
            assert "nothing to draw" in answer.text or "<polyline" in answer.text
            assert "the other chain goes from" not in answer.text
        else:
            assert answer.status_code == 422
            assert "no blocks.csv" in answer.text
    assert viewer.client.post("/training/compare", content=b"x" * (9 << 20)).status_code == 413


def test_a_compared_file_of_many_columns_or_rows_is_refused_before_it_is_taken_apart(viewer: Viewer) -> None:
    """Half a megabyte may stand for columns times rows cells."""
    wide = b"height,accuracy,loss" + b",x" * 100_000 + b"\n" + b"1,0.5,0.5\n" * 20_000
    wrapped = b"height,accuracy,loss\n" + b'"a\n",' * 100_000
    long = b"height,accuracy,loss\n" + b"1,0.5,0.5\n" * 100_001
    for file in (wide, wrapped, long):
        tracemalloc.start()
        answer = viewer.client.post("/training/compare", content=file)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer.status_code == 422
        assert peak < 64 << 20
    # rows that end early, as files that somebody cut off by hand
    assert viewer.client.post("/training/compare", content=b"height,accuracy,loss\n\n1,0.5,\n").status_code == 200


def test_only_reading_is_allowed(viewer: Viewer) -> None:
    for path in ("/", "/blocks", "/blocks/1", "/training", "/events"):
        assert viewer.client.post(path).status_code == 405
        assert viewer.client.delete(path).status_code == 405
    for path in ("/verify", "/training/compare"):
        foreign = viewer.client.post(path, headers={"origin": "https://elsewhere.example"})
        assert foreign.status_code == 403


def test_an_explorer_that_was_given_no_genesis_says_so(viewer: Viewer) -> None:
    assert "The genesis was given" in viewer.get("/").text
    other = Viewer(viewer.world, is_trusted=False)
    try:
        assert "compare the chain&#39;s id" in other.get("/").text or "compare the chain's id" in other.get("/").text
    finally:
        other.close()


def test_browsers_get_the_genesis_and_whole_seals(viewer: Viewer) -> None:
    """CHAIN-1: the genesis's digest is the chain's id, and from it come the keys that seals are checked against."""
    answer = viewer.get("/genesis")
    genesis = decode(Genesis, answer.content)
    assert get_chain_id(genesis) == get_chain_id(viewer.world.chain.genesis)
    assert viewer.get("/genesis", 304, headers={"if-none-match": answer.headers["etag"]}).content == b""
    block = viewer.world.blocks.get(2)
    assert block is not None
    update = block.body.decisions[0].update.hex()
    for path in ("/blocks/2/bytes", f"/updates/{update}/bytes"):
        seals = [decode(Seal, bytes.fromhex(seal)) for seal in viewer.get(path).json()["seals"]]
        assert tuple(seals) == block.certificate
