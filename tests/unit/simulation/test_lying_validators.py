"""What f dishonest validators of 3f + 1 can do to a chain: nothing that an honest one could not have done (CHAIN-5)."""

from __future__ import annotations

import pytest

from flobc.adapters.filesystem import FileBlocks
from flobc.composition.genesis import derive_identity
from flobc.protocol.params import get_quorum
from flobc.simulation.attacks import VALIDATOR_ATTACKS
from tests.support.worlds import simulate_text

WORLD = """
run: {{trainers: 6, validators: {validators}, rounds: 4, sync: bsp}}
attacks: {{trainers: ['sign_flip:factor=3@0.3'], validators: ['{attack}@{share}']}}
"""


SPREAD = "speeds: {training: {uniform: {from: 1s, to: 9s}}}"
"""Trainers that are done one after the other: while a round waits for the last, votes on the first can be copied."""


def simulate_liars(directory, attack, validators=4, share=0.25, more=""):
    """Return a world's last state and its blocks; verifying the chain is part of simulating it."""
    text = WORLD.format(attack=attack, validators=validators, share=share)
    found = simulate_text(text + more, directory=directory)
    blocks = FileBlocks(directory / "blocks", found.state.genesis.parent)
    return found, [blocks.get(height) for height in range(1, found.state.height + 1)]


@pytest.mark.parametrize("attack", [name for name in VALIDATOR_ATTACKS if name != "equivocating"])
@pytest.mark.parametrize(("validators", "liars"), [(4, 1), (7, 2)])
def test_every_score_lies_in_the_range_of_the_honest_votes(tmp_path, attack, validators, liars) -> None:
    # ROUND-10
    _, blocks = simulate_liars(tmp_path, attack, validators, liars / validators)
    honest = set(get_validators(validators)[: validators - liars])
    decided = [
        (item, votes) for block in blocks for item, votes in zip(block.body.decisions, block.body.votes, strict=True)
    ]
    assert len(decided) == 6 * 4
    for decision, counted in decided:
        scores = [vote.score for vote in counted.votes if vote.validator in honest]
        assert min(scores) <= decision.score <= max(scores)


def test_the_votes_that_were_bought_are_in_the_blocks(tmp_path) -> None:
    """Without this the test above could pass because nobody lied."""
    _, blocks = simulate_liars(tmp_path, "deflation")
    liar = get_validators(4)[3]
    votes = [vote for block in blocks for item in block.body.votes for vote in item.votes]
    bought = [vote.score for vote in votes if vote.validator == liar]
    assert bought.count(-1_000_000) > 8


def test_two_seals_are_evidence_and_cost_a_validator_its_votes(tmp_path) -> None:
    # CHAIN-12
    found, blocks = simulate_liars(tmp_path, "equivocating")
    liar = get_validators(4)[3]
    assert found.state.core.muted == (liar,)
    heights = [block.height for block in blocks if block.body.evidence]
    assert len(heights) == 1
    for block in blocks[heights[0] :]:
        assert liar not in {vote.validator for item in block.body.votes for vote in item.votes}


def test_who_equivocates_forks_nothing(tmp_path) -> None:
    # CHAIN-6
    found, blocks = simulate_liars(tmp_path, "equivocating")
    assert found.verified.height == found.state.height == len(blocks) == 4
    for block in blocks:
        assert len({seal.header for seal in block.certificate}) == 1
        assert len({seal.validator for seal in block.certificate}) >= get_quorum(4)


def test_a_lazy_copy_votes_as_somebody_honest_did(tmp_path) -> None:
    _, blocks = simulate_liars(tmp_path, "lazy_copy:wait_ms=200", more=SPREAD)
    lazy = get_validators(4)[3]
    copied = 0
    for counted in (item for block in blocks for item in block.body.votes):
        own = [vote.score for vote in counted.votes if vote.validator == lazy]
        copied += len(own)
        assert set(own) <= {vote.score for vote in counted.votes if vote.validator != lazy}
    assert copied


def get_validators(count):
    """Their keys by number: the attackers are the last ones."""
    return [derive_identity(0, "validator", number).public_key for number in range(count)]
