"""Headers, certificates and proofs, without log and files."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from flobc.composition.archive import open_archive
from flobc.composition.verification import (
    InclusionProof,
    LightClient,
    UpdateProof,
    build_update_proof,
    verify_headers,
    verify_update,
)
from flobc.errors import VerificationError
from flobc.protocol.chain.block import Block, Reason
from flobc.protocol.encoding import decode, encode
from flobc.protocol.params import Genesis
from tests.support import small_chain as chain


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain.build_chain(tmp_path_factory.mktemp("chain") / "run")


@pytest.fixture
def genesis(root: Path) -> Genesis:
    return open_archive(root).genesis


@pytest.fixture
def blocks(root: Path) -> list[Block]:
    return [chain.load_block(root, height) for height in (1, 2, 3)]


@pytest.fixture
def proof(root: Path, blocks: list[Block]) -> UpdateProof:
    return build_update_proof(open_archive(root), blocks[1].accepted[0].update)


def test_headers_need_no_bodies(genesis: Genesis, blocks: list[Block]) -> None:
    """CHAIN-6: the genesis keys are all that a light client starts from."""
    bare = [dataclasses.replace(block, body=dataclasses.replace(block.body, decisions=())) for block in blocks]
    assert verify_headers(genesis, bare) == blocks[-1].header
    assert verify_headers(genesis, []).height == 0


@pytest.mark.parametrize(("order", "height"), [((1,), 1), ((0, 2), 2), ((0, 0), 2), ((0, 1, 1), 3)], ids=str)
def test_invalid_order_is_refused_and_the_head_stays(
    genesis: Genesis, blocks: list[Block], order: tuple[int, ...], height: int
) -> None:
    """CHAIN-8: every header names its parent and its height."""
    client = LightClient(genesis)
    *good, last = [blocks[index] for index in order]
    for block in good:
        client.accept(block.header, block.certificate)
    with pytest.raises(VerificationError) as caught:
        client.accept(last.header, last.certificate)
    assert (caught.value.height, caught.value.rule, client.head.height) == (height, "CHAIN-8", height - 1)


def test_invalid_certificate_of_another_header(genesis: Genesis, blocks: list[Block]) -> None:
    """CHAIN-6: good seals of one header certify no other."""
    with pytest.raises(VerificationError, match="height 1 breaks CHAIN-6"):
        LightClient(genesis).accept(blocks[0].header, blocks[1].certificate)


def test_any_quorum_will_do(genesis: Genesis, blocks: list[Block]) -> None:
    """CHAIN-6: which validators sealed is not part of the header."""
    validators = chain.get_validators()
    for left_out in range(chain.VALIDATORS):
        signers = [key for index, key in enumerate(validators) if index != left_out]
        LightClient(genesis).accept(blocks[0].header, chain.reseal(blocks[0], blocks[0].header, signers).certificate)


def test_update_is_proved_by_one_header(genesis: Genesis, proof: UpdateProof, blocks: list[Block]) -> None:
    """CHAIN-7: every decision of every block can be shown, and the proof has a canonical encoding."""
    assert proof.decision.reason is Reason.ACCEPTED
    assert proof.header == blocks[1].header
    assert decode(UpdateProof, encode(proof)) == proof
    assert verify_update(genesis, proof.header, proof.certificate, proof.decision, proof.inclusion)


CHANGES: dict[str, Callable[[UpdateProof], UpdateProof]] = {
    "score": lambda proof: _on(proof, "decision", score=proof.decision.score + 1000),
    "reason": lambda proof: _on(proof, "decision", reason=Reason.LOW_SCORE),
    "update": lambda proof: _on(proof, "decision", update=bytes(32)),
    "index": lambda proof: _on(proof, "inclusion", index=proof.inclusion.index + 1),
    "path shortened": lambda proof: _on(proof, "inclusion", path=proof.inclusion.path[1:]),
    "path lengthened": lambda proof: _on(proof, "inclusion", path=(*proof.inclusion.path, bytes(32))),
    "model": lambda proof: _on(proof, "header", model=bytes(32)),
    "root": lambda proof: _on(proof, "header", decisions_root=bytes(32)),
    "decisions counted": lambda proof: _on(proof, "header", num_decisions=proof.header.num_decisions + 1),
    "chain": lambda proof: _on(proof, "header", chain=bytes(32)),
    "seal dropped": lambda proof: dataclasses.replace(proof, certificate=proof.certificate[1:]),
    "seal repeated": lambda proof: dataclasses.replace(proof, certificate=(proof.certificate[0],) * 3),
    "no seals": lambda proof: dataclasses.replace(proof, certificate=()),
}


def _on(proof: UpdateProof, part: str, **changes: object) -> UpdateProof:
    changed = dataclasses.replace(getattr(proof, part), **changes)
    return dataclasses.replace(proof, **{part: changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_invalid_proof(genesis: Genesis, proof: UpdateProof, change: Callable[[UpdateProof], UpdateProof]) -> None:
    changed = change(proof)
    assert not verify_update(genesis, changed.header, changed.certificate, changed.decision, changed.inclusion)


def test_invalid_proof_on_another_chain(genesis: Genesis, proof: UpdateProof) -> None:
    other = dataclasses.replace(genesis, salt=bytes(32))
    assert not verify_update(other, proof.header, proof.certificate, proof.decision, proof.inclusion)


def test_every_decision_has_its_own_proof(root: Path, genesis: Genesis, blocks: list[Block]) -> None:
    archive = open_archive(root)
    proofs = [build_update_proof(archive, item.update) for block in blocks for item in block.body.decisions]
    assert all(verify_update(genesis, p.header, p.certificate, p.decision, p.inclusion) for p in proofs)
    wrong = InclusionProof(proofs[0].inclusion.index, proofs[-1].inclusion.path)
    assert not verify_update(genesis, proofs[0].header, proofs[0].certificate, proofs[0].decision, wrong)
