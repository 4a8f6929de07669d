"""What anybody can check about a block with the genesis keys alone."""

from dataclasses import replace

import pytest

from flobc.adapters.memory import MemoryBlocks
from flobc.protocol.chain.block import (
    Body,
    compute_header_digest,
    find_body_defect,
    verify_certificate,
)
from flobc.protocol.encoding import encode
from flobc.protocol.merkle import inclusion_proof, verify_inclusion
from flobc.protocol.messages import NO_SIGNATURE, sign
from tests.support.dialogue import Chain, identity


@pytest.fixture(scope="module")
def chain() -> Chain:
    chain = Chain()
    chain.send(chain.evidence(chain.update(2, norm=1), chain.update(2, norm=2)))
    chain.play_round(0, 1)
    return chain


def certify(chain, header, seals):
    return verify_certificate(header, tuple(seals), chain.genesis.validators, chain.state.quorum)


def test_a_quorum_of_equal_seals_certifies(chain):
    """CHAIN-6."""
    block = chain.blocks[-1]
    assert len(block.certificate) == 3
    assert certify(chain, block.header, block.certificate)


def test_invalid_certificates(chain):
    """CHAIN-6: too few, one seal twice, a stranger's, another header's, another height's, unsigned, resigned."""
    header, seals = chain.blocks[-1].header, chain.blocks[-1].certificate
    one, two, three = seals
    stranger = identity("stranger")
    forged = [
        (one, two),
        (one, two, two),
        (one, two, sign(replace(three, validator=stranger.public_key), stranger)),
        (one, two, replace(three, signature=NO_SIGNATURE)),
        (one, two, replace(three, validator=chain.validators[3].public_key)),
        (one, two, sign(replace(three, height=2), chain.validators[2])),
        (one, two, sign(replace(three, chain=b"c" * 32), chain.validators[2])),
    ]
    assert not any(certify(chain, header, certificate) for certificate in forged)
    assert not certify(chain, replace(header, model=b"m" * 32), seals)


def test_a_muted_validators_seal_still_certifies():
    """CHAIN-6, CHAIN-12: a certificate is checked from the genesis alone, which knows no evidence."""
    chain = Chain()
    chain.close_round()
    chain.send(chain.evidence(chain.build_seal(0, b"m" * 32), chain.build_seal(0, b"n" * 32)))
    block = chain.commit()
    assert chain.validators[0].public_key in {seal.validator for seal in block.certificate}
    assert certify(chain, block.header, block.certificate)


def test_the_body_is_what_the_header_commits_to(chain):
    """CHAIN-7."""
    block = chain.blocks[-1]
    assert len(block.body.evidence) == 1
    assert find_body_defect(block.header, block.body) is None


def test_invalid_bodies(chain):
    """CHAIN-7: every part of a body is bound to the header, the trainers' own headers included."""
    header, body = chain.blocks[-1].header, chain.blocks[-1].body
    first, second = body.decisions
    mine = body.headers[0]
    changed = [
        replace(body, decisions=body.decisions[:1]),
        replace(body, decisions=(second, first)),
        replace(body, decisions=(replace(first, score=1), second)),
        replace(body, decisions=(replace(first, weight=1), second)),
        replace(body, evidence=()),
        replace(body, votes=body.votes[:1]),
        replace(body, votes=(replace(body.votes[0], votes=body.votes[0].votes[1:]), body.votes[1])),
        replace(body, headers=body.headers[:1]),
        replace(body, headers=body.headers[::-1]),
        replace(body, headers=(replace(mine, num_examples=10**6), body.headers[1])),
        replace(body, headers=(replace(mine, signature=NO_SIGNATURE), body.headers[1])),
        Body((), (), (), ()),
    ]
    for wrong in changed:
        assert wrong != body
        defect = find_body_defect(header, wrong)
        assert defect is not None
        assert defect[0] == "CHAIN-7"


def test_one_decision_can_be_proved_without_the_others(chain):
    """CHAIN-7, WIRE-14: header, certificate and a Merkle proof."""
    header, body = chain.blocks[-1].header, chain.blocks[-1].body
    leaves = [encode(item) for item in body.decisions]
    proof = inclusion_proof(leaves, 1)
    assert verify_inclusion(leaves[1], 1, header.num_decisions, proof, header.decisions_root)
    assert not verify_inclusion(leaves[0], 1, header.num_decisions, proof, header.decisions_root)


def test_each_block_names_its_parent():
    """CHAIN-8."""
    chain = Chain()
    genesis_digest = chain.state.head_digest
    for _ in range(3):
        chain.play_round()
    parents = [genesis_digest, *(compute_header_digest(block.header) for block in chain.blocks)]
    assert [block.header.parent for block in chain.blocks] == parents[:-1]
    assert [block.height for block in chain.blocks] == [1, 2, 3]
    store = MemoryBlocks(genesis_digest)
    assert not store.append(chain.blocks[1])
    assert all(store.append(block) for block in chain.blocks)
    assert not store.append(chain.blocks[2])


def test_what_a_block_says_of_its_updates(chain):
    """ROUND-10."""
    block = chain.blocks[-1]
    assert len(block.accepted) == 2
    assert block.rejected == ()
