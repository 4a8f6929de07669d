"""The browser's check of signatures: as strict as the library that validators use, and a certificate is a quorum's."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nacl.bindings import crypto_core_ed25519_add, crypto_scalarmult_ed25519_base_noclamp
from playwright.sync_api import Browser, Page, Route, expect

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity, validate_public_key, verify_signature
from flobc.protocol.messages import Seal, sign
from flobc.protocol.params import get_chain_id
from tests.support.browser import open_browser, open_page
from tests.support.dialogue import Chain, identities
from tests.support.explored import Viewer, explored

ORDER = 2**252 + 27742317777372353535851937790883648493
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""A point of order 8."""
RFC_8032 = (
    # 7.1, tests 1 to 3: public key, message, signature
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
)
NO_SUBTLE = "Object.defineProperty(Crypto.prototype, 'subtle', { get() { return undefined; } });"
"""What a page is like that did not come over TLS from another machine."""
VERIFY = """async ([cases, isOwn]) => {
    const { verify, verifyHere } = await import('/static/ed25519.js');
    const { fromHex } = await import('/static/sha256.js');
    const found = [];
    for (const parts of cases) found.push(await (isOwn ? verifyHere : verify)(...parts.map(fromHex)));
    return found;
}"""
KEYS = """async keys => {
    const { isValidKey } = await import('/static/ed25519.js');
    const { fromHex } = await import('/static/sha256.js');
    return keys.map(key => isValidKey(fromHex(key)));
}"""


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with explored(4) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(params=["offered", "ours"])
def page(request: pytest.FixtureRequest, viewer: Viewer, browser: Browser) -> Iterator[Page]:
    """A page with the browser's Ed25519, and one where there is only ours."""
    with open_page(browser, viewer.address) as (found, _):
        if request.param == "ours":
            found.add_init_script(NO_SUBTLE)
        yield found


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def craft(seed: bytes, nonce: int, torsion: bytes | None, message: bytes) -> bytes:
    """A signature whose R is not quite what an honest signer makes, but whose equation holds up to the torsion."""
    key = Identity.from_seed(seed).public_key
    secret = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
    point = crypto_scalarmult_ed25519_base_noclamp(little(nonce)) if nonce else little(1)
    if torsion is not None:
        point = crypto_core_ed25519_add(point, torsion)
    challenge = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little")
    return point + little((nonce + challenge * secret) % ORDER)


def list_cases() -> Iterator[tuple[bytes, bytes, bytes]]:
    """Good signatures, and such as somebody might try."""
    yield from ((bytes.fromhex(key), bytes.fromhex(text), bytes.fromhex(found)) for key, text, found in RFC_8032)
    chance = random.Random(8032)
    for length in (0, 1, 110, 111, 112, 150, 300):
        seed, message = chance.randbytes(32), chance.randbytes(length)
        who = Identity.from_seed(seed)
        good = who.sign(message)
        yield who.public_key, message, good
        yield who.public_key, message + b"x", good
        place = chance.randrange(64)
        yield (
            who.public_key,
            message,
            good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :],
        )
        yield who.public_key, message, good[:32] + little(int.from_bytes(good[32:], "little") + ORDER)
        yield Identity.from_seed(chance.randbytes(32)).public_key, message, good
        for nonce, torsion in ((5, None), (5, TORSION), (0, None), (0, TORSION)):
            yield who.public_key, message, craft(seed, nonce, torsion, message)


def test_signatures_are_those_that_the_library_takes(page: Page) -> None:
    """WIRE-9: RFC 8032's vectors, our own signer's, and S beyond the order, R with torsion, R of small order."""
    cases = list(list_cases())
    expected = [verify_signature(*case) for case in cases]
    assert sum(expected) == len(RFC_8032) + 14
    page.goto("/blocks/3")
    found = page.evaluate(VERIFY, [[[part.hex() for part in case] for case in cases], False])
    assert found == expected
    assert page.evaluate(VERIFY, [[[part.hex() for part in case] for case in cases], True]) == expected


def is_admitted(key: bytes) -> bool:
    try:
        validate_public_key(key)
    except RemoteProtocolError:
        return False
    return True


def test_keys_are_those_that_may_be_admitted(viewer: Viewer, browser: Browser) -> None:
    """WIRE-13: not reduced, not on the curve, of small order, or outside the subgroup."""
    good = [who.public_key for who in identities("validator", 4)]
    prime = 2**255 - 19
    odd = [little(number) for number in (0, 1, 2, 3, prime - 1, prime, prime + 1, 2**255 - 1, 2**255, 2**255 + 1)]
    mixed = [crypto_core_ed25519_add(key, TORSION) for key in good]
    keys = [*good, *odd, TORSION, *mixed, good[0][:31]]
    with open_page(browser, viewer.address) as (page, _):
        page.goto("/blocks/3")
        found = page.evaluate(KEYS, [key.hex() for key in keys])
    assert found == [is_admitted(key) for key in keys]
    assert found[:4] == [True] * 4
    assert not any(found[-len(mixed) - 2 :])


def test_a_block_and_an_update_are_verified_by_a_quorum_s_signatures(viewer: Viewer, page: Page) -> None:
    """CHAIN-1, CHAIN-6: the keys come from the genesis, whose digest is the chain's id."""
    page.goto("/blocks/3")
    expect(page.locator("#checks.good")).to_contain_text("3 of 4 validators signed (3 must)")
    block = viewer.world.blocks.get(3)
    assert block is not None
    page.goto(f"/updates/{block.body.decisions[0].update.hex()}")
    expect(page.locator("#checks.good")).to_contain_text("3 of 4 validators signed (3 must)")


def reseal(block: Block, who: list[Identity], **changes: Any) -> Block:
    digest = compute_header_digest(block.header)
    seals = [Seal(block.header.chain, key.public_key, block.height, digest) for key in who]
    signed = [sign(dataclasses.replace(seal, **changes), key) for seal, key in zip(seals, who, strict=True)]
    return dataclasses.replace(block, certificate=tuple(signed))


def forge_signature(block: Block) -> Block:
    first, *others = block.certificate
    forged = dataclasses.replace(first, signature=bytes([first.signature[0] ^ 1]) + first.signature[1:])
    return dataclasses.replace(block, certificate=(forged, *others))


def take_another_s_signature(block: Block) -> Block:
    first, second, *others = block.certificate
    stolen = dataclasses.replace(first, signature=second.signature)
    return dataclasses.replace(block, certificate=(stolen, second, *others))


def sort_keys(who: list[Identity]) -> list[Identity]:
    return sorted(who, key=lambda identity: identity.public_key)


LIES: dict[str, tuple[Callable[[Block], Block], str]] = {
    "forged": (forge_signature, "is forged"),
    "stolen": (take_another_s_signature, "is forged"),
    "strangers": (lambda block: reseal(block, sort_keys(identities("stranger", 3))), "is no validator"),
    "too few": (lambda block: dataclasses.replace(block, certificate=block.certificate[:2]), "that it takes"),
    "one twice": (
        lambda block: dataclasses.replace(block, certificate=(block.certificate[0], *block.certificate[:2])),
        "not distinct",
    ),
    "another height": (
        lambda block: reseal(block, sort_keys(identities("validator", 4))[:3], height=3),
        "for another block",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_certificate_that_no_quorum_signed_is_broken(viewer: Viewer, page: Page, lie: str) -> None:
    """CHAIN-6: whatever the explorer says of it, and whether page and bytes agree or not."""
    change, words = LIES[lie]
    viewer.world.blocks.lies[2] = change
    viewer.explorer._blocks.clear()
    try:
        page.goto("/blocks/2")
        expect(page.locator("#checks.bad")).to_contain_text("BROKEN")
        expect(page.locator("#checks.bad")).to_contain_text(words)
    finally:
        viewer.world.blocks.lies.clear()
        viewer.explorer._blocks.clear()


def test_a_genesis_with_other_validators_is_not_the_chain_s(viewer: Viewer, page: Page) -> None:
    genesis = dataclasses.replace(
        viewer.world.chain.genesis, validators=tuple(who.public_key for who in identities("stranger", 4))
    )
    page.route("**/genesis", lambda route: route.fulfill(body=encode(genesis)))
    page.goto("/blocks/3")
    expect(page.locator("#checks.bad")).to_contain_text("not to the chain's id")


def test_a_foot_with_another_chain_s_id_is_broken(viewer: Viewer, page: Page) -> None:
    """People compare that id with what validators say."""

    def forge(route: Route) -> None:
        answer, chain = route.fetch(), get_chain_id(viewer.world.chain.genesis).hex()
        before, _, after = answer.text().rpartition(chain)
        route.fulfill(response=answer, body=before + chain[::-1] + after)

    page.route("**/blocks/3", forge)
    page.goto("/blocks/3")
    expect(page.locator("#checks.bad")).to_contain_text("names another chain")


def test_a_hundred_validators_leave_the_page_its_turns(viewer: Viewer, page: Page) -> None:
    chain = Chain(validators=100)
    header = dataclasses.replace(chain.state.head.header, height=7)
    digest, who = compute_header_digest(header), sort_keys(chain.validators)[: chain.state.quorum]
    seals = [sign(Seal(header.chain, key.public_key, 7, digest), key) for key in who]
    page.goto("/blocks/3")
    found, turns = page.evaluate(
        """async ([header, digest, genesis, seals]) => {
            const { checkCertificate, readMembers } = await import('/static/seals.js');
            const { fromHex } = await import('/static/sha256.js');
            let turns = 0;
            const timer = setInterval(() => turns++, 0);
            const members = readMembers(fromHex(genesis), header.chain);
            const found = await checkCertificate(header, digest, seals, members);
            clearInterval(timer);
            return [found, turns];
        }""",
        [
            {"chain": header.chain.hex(), "height": "7"},
            digest.hex(),
            encode(chain.genesis).hex(),
            [encode(seal).hex() for seal in seals],
        ],
    )
    assert found == {"signed": 67, "quorum": 67, "total": 100}
    assert turns > 3
