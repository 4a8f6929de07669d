"""The explorer of a running system, as somebody with a browser sees it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from flobc.adapters.grpc import LedgerClient
from flobc.adapters.redis import RedisSettings, connect
from flobc.adapters.redis.blocks import _Entry
from flobc.cli.main import main
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.recording import get_prefix
from flobc.protocol.chain.block import Block
from flobc.protocol.encoding import decode, encode
from tests.support.browser import DESK, PHONE, list_serious_findings, open_browser, open_page
from tests.support.system import OPTIONS, WholeSystem, running

PATIENCE_MS = 60_000.0
FORGED = 2
"""The block that is forged in Redis; tests before that leave it alone."""

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    """A system as ``flobc up`` starts it, explorer included."""
    found = WholeSystem(tmp_path_factory.mktemp("explored") / "chain", ledgers=1)
    arguments = ["up", "--dir", str(found.root), *OPTIONS, "--quiet"]

    def start() -> None:
        assert main(arguments) == 0

    with running(found, start):
        found.wait_for_height(5)
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def page(system: WholeSystem, browser: Browser) -> Iterator[Page]:
    with open_page(browser, f"http://{system.plan.explorer}") as (found, _):
        yield found


def read_block(system: WholeSystem, height: int) -> Block:
    client = LedgerClient(system.plan.ledgers)
    try:
        block = client.get_block(height)
    finally:
        client.close()
    assert block is not None
    return block


def list_paths(system: WholeSystem) -> list[str]:
    block, genesis = read_block(system, 3), load_genesis(system.root)
    return [
        "/",
        "/blocks",
        "/blocks/3",
        f"/updates/{block.body.decisions[0].update.hex()}",
        "/trainers",
        f"/trainers/{genesis.trainers[0].hex()}",
        "/validators",
        f"/validators/{genesis.validators[0].hex()}",
        "/training",
        "/verify",
        "/search",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_page_can_be_read_by_everybody(system: WholeSystem, browser: Browser, scheme: str) -> None:
    """On a desk and on a phone of 360 px, without serious findings of axe and without a script's error."""
    with open_page(browser, f"http://{system.plan.explorer}") as (page, complaints):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for path in list_paths(system):
            page.set_viewport_size(PHONE if scheme == "dark" else DESK)
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            if scheme == "light" or path in ("/", "/blocks/3", "/training"):
                assert list_serious_findings(page) == [], path
            page.set_viewport_size(PHONE)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    assert complaints == []


def test_the_overview_follows_the_chain_by_itself(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#connection")).to_contain_text("Live")
    before = int(page.inner_text("#height"))
    page.wait_for_function("before => Number(document.getElementById('height').textContent) >= before + 2", arg=before)
    expect(page.locator("#rate")).not_to_have_text("-")
    # what somebody is on with the keyboard is not taken away
    link = page.locator("#live td a").first
    link.focus()
    held, name = int(page.inner_text("#height")), link.inner_text()
    page.wait_for_function(
        "async held => (await (await fetch('/blocks.csv')).text()).split('\\n').length > held + 3", arg=held
    )
    assert page.evaluate("document.activeElement.textContent") == name
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function("held => Number(document.getElementById('height').textContent) > held", arg=held)


def test_blocks_and_updates_are_checked_in_the_browser(system: WholeSystem, page: Page) -> None:
    """CHAIN-7, CHAIN-8: also on a page that is no secure context, where the browser has no SHA-256 to offer."""
    for path in list_paths(system)[2:4]:
        page.goto(path)
        expect(page.locator("#checks.good")).to_contain_text("Verified in your browser")
    page.goto("/blocks/3")
    page.get_by_role("link", name="Block 4").click()
    expect(page.locator("h1")).to_have_text("Block 4")
    expect(page.locator("#checks.good")).to_be_visible()


def flip(text: str, place: int) -> str:
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


@pytest.mark.parametrize("part", ["header", "decisions", "seals", "next_parent"])
def test_bytes_that_are_not_those_that_were_sealed_are_broken(page: Page, part: str) -> None:
    def forge(route: Route) -> None:
        found = route.fetch().json()
        found[part] = flip(found[part], 70) if part == "header" else forge_digest(found[part])
        route.fulfill(json=found)

    def forge_digest(value: str | list[str]) -> str | list[str]:
        return flip(value, 3) if isinstance(value, str) else [flip(value[0], 3), *value[1:]]

    page.route("**/blocks/3/bytes", forge)
    page.goto("/blocks/3")
    expect(page.locator("#checks.bad")).to_contain_text("BROKEN")


@pytest.mark.parametrize("field", ["parent", "height", "model", "accuracy", "row"])
def test_a_page_that_shows_something_else_than_the_bytes_is_broken(page: Page, field: str) -> None:
    def forge(route: Route) -> None:
        answer = route.fetch()
        attribute = {"accuracy": 'data-millionths="accuracy">', "row": '<td class="n">'}.get(
            field, f'data-field="{field}">'
        )
        text = answer.text()
        start = text.index(attribute) + len(attribute)
        route.fulfill(response=answer, body=flip(text, start + (2 if field in ("accuracy", "row") else 0)))

    page.route("**/blocks/3", forge)
    page.goto("/blocks/3")
    expect(page.locator("#checks.bad")).to_contain_text("this page shows another")


def test_a_proof_that_does_not_hold_is_broken(system: WholeSystem, page: Page) -> None:
    def forge(part: str, route: Route) -> None:
        found = route.fetch().json()
        found[part] = [flip(found[part][0], 9), *found[part][1:]] if part == "path" else flip(found[part], 140)
        route.fulfill(json=found)

    for part in ("path", "votes", "decision"):
        page.route("**/updates/*/bytes", functools.partial(forge, part))
        page.goto(list_paths(system)[3])
        expect(page.locator("#checks.bad")).to_contain_text("BROKEN")
        page.unroute("**/updates/*/bytes")


@pytest.mark.parametrize(("before", "after"), [(">accepted<", ">low score<"), (" %</dd>", "9 %</dd>")])
def test_another_outcome_or_weight_than_was_decided_is_broken(
    system: WholeSystem, page: Page, before: str, after: str
) -> None:
    def forge(route: Route) -> None:
        answer = route.fetch()
        assert before in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(before, after))

    used = read_block(system, 3).accepted[0].update.hex()
    page.route(f"**/updates/{used}", forge)
    page.goto(f"/updates/{used}")
    expect(page.locator("#checks.bad")).to_contain_text("this page shows another")


def test_the_browser_s_sha_256_is_the_one_of_everybody(page: Page) -> None:
    page.goto("/blocks/3")
    lengths = [*range(130), 1000, 65_537]
    found = page.evaluate(
        """async lengths => {
            const { sha256, toHex } = await import('/static/sha256.js');
            return lengths.map(length => toHex(sha256(Uint8Array.from({ length }, (_, i) => (i * 7 + 3) % 256))));
        }""",
        lengths,
    )
    assert found == [sha256(bytes((i * 7 + 3) % 256 for i in range(length))).hexdigest() for length in lengths]


def test_search_works_by_keyboard_alone(system: WholeSystem, page: Page) -> None:
    page.goto("/blocks")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "q":
            break
    page.keyboard.type(read_block(system, 4).header.model.hex()[:16])
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Block 4")
    page.fill("#q", "no such thing")
    page.keyboard.press("Enter")
    expect(page.locator("main .empty")).to_contain_text("Nothing is found")


def test_files_can_be_downloaded(system: WholeSystem, page: Page, tmp_path: Path) -> None:
    page.goto("/training")
    with page.expect_download() as started:
        page.get_by_role("link", name="Blocks as CSV").click()
    file = tmp_path / "blocks.csv"
    started.value.save_as(file)
    rows = list(csv.DictReader(file.open()))
    assert rows[2]["model"] == read_block(system, 3).header.model.hex()
    newest = len(rows)
    page.goto(f"/blocks/{newest}")
    with page.expect_download() as started:
        page.get_by_role("link", name="manifest").click()
    manifest = json.loads(Path(started.value.path()).read_text())
    assert manifest["height"] == newest
    with page.expect_download() as started:
        page.get_by_role("link", name="safetensors").click()
    name = started.value.suggested_filename
    # the manifest has the digest of the file that is made with it
    assert manifest["files"][name] == hashlib.sha256(Path(started.value.path()).read_bytes()).hexdigest()
    page.goto("/training")
    page.set_input_files("#other", file)
    expect(page.locator("#compared svg")).to_have_count(2)


def test_the_light_client_runs_and_holds(page: Page) -> None:
    page.goto("/verify")
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#progress")).to_contain_text("Holds.")


def test_a_lost_ledger_and_a_lost_explorer_are_seen_and_so_is_their_return(system: WholeSystem, page: Page) -> None:
    page.goto("/")
    for victim, words in (("ledger-0", "Reconnecting"), ("explorer-0", "Disconnected")):
        expect(page.locator("#connection.good")).to_contain_text("Live")
        system.kill(victim)
        expect(page.locator("#connection.bad")).to_contain_text(words)
        held = int(page.inner_text("#height"))
        assert held > 0
        system.restart()
        expect(page.locator("#connection.good")).to_contain_text("Live")
        page.wait_for_function("held => Number(document.getElementById('height').textContent) > held", arg=held)


def test_a_block_that_was_forged_in_redis_is_broken(system: WholeSystem, page: Page) -> None:
    """Whoever can write Redis can change what ledgers tell, and cannot make anybody believe it (CHAIN-6)."""
    page.goto(f"/blocks/{FORGED}")
    expect(page.locator("#checks.good")).to_be_visible()
    client = connect(RedisSettings.from_url(system.plan.redis, get_prefix(load_genesis(system.root))))
    key = client.key("block", FORGED)
    before = client.call("GET", key)
    entry = decode(_Entry, before[32:])
    header = dataclasses.replace(entry.block.header, accuracy=999_999)
    data = encode(dataclasses.replace(entry, block=dataclasses.replace(entry.block, header=header)))
    try:
        client.call("SET", key, sha256(data).digest() + data)
        page.wait_for_timeout(5_100)  # what an explorer keeps of a block is as old as that
        page.reload()
        expect(page.locator("#defect")).to_contain_text("CHAIN-6")
        expect(page.locator("#checks.bad")).to_contain_text("the seals are of another header")
    finally:
        client.call("SET", key, before)
        client.close()
