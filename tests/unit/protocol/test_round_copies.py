"""Who owns a payload that two headers name."""

from flobc.protocol.messages import Fault
from tests.support.dialogue import Chain, build_params

GOOD = 100_000


def everybody(trainers: int = 3) -> Chain:
    return Chain(trainers=trainers, params=build_params(majority_ratio_ppm=1_000_000))


def test_the_first_acceptable_update_owns_a_payload():
    """ROUND-11."""
    chain = everybody()
    first = chain.update(1)
    chain.votes(first, GOOD, GOOD, GOOD)
    chain.votes(chain.update(0, payload_root=first.payload_root), GOOD, GOOD, GOOD)
    chain.close_round(2)
    block = chain.commit()
    assert chain.outcomes() == [(1, "ACCEPTED"), (0, "DUPLICATE"), (2, "ACCEPTED")]
    assert block.body.decisions[1].weight == 0


def test_a_copy_gains_and_dilutes_nothing():
    """AGG-W6: the others weigh what they would weigh without it."""
    weights = []
    for copied in (False, True):
        chain = everybody(4)
        first = chain.update(1)
        chain.votes(first, GOOD, GOOD, GOOD)
        chain.votes(
            chain.update(0, payload_root=first.payload_root if copied else b"\1" * 32),
            *[GOOD if copied else -900_000] * 3,
        )
        chain.close_round(2, 3)
        weights.append([decision.weight for decision in chain.commit().body.decisions])
    assert weights[0] == weights[1]
    assert weights[0][1] == 0


def test_a_copied_header_without_a_payload_silences_nobody():
    """ROUND-11: one liar's vote puts a copy in front, but nobody else can vote on it."""
    chain = everybody()
    update = chain.update(0)
    chain.vote(3, chain.update(1, payload_root=update.payload_root), GOOD)
    chain.votes(update, GOOD, GOOD, GOOD)
    chain.close_round(2)
    chain.commit()
    assert chain.outcomes() == [(0, "ACCEPTED"), (2, "ACCEPTED")]


def test_a_faulty_or_bad_copy_silences_nobody():
    """ROUND-11: the copy's header may lie about the norm, or name a base where the payload does harm."""
    chain = everybody()
    update = chain.update(0)
    chain.faults(chain.update(1, payload_root=update.payload_root, norm=1), *[Fault.NORM_MISMATCH] * 3)
    chain.votes(chain.update(2, payload_root=update.payload_root), -900_000, -900_000, -900_000)
    chain.votes(update, GOOD, GOOD, GOOD)
    chain.commit()
    assert chain.outcomes() == [(1, "FAULT"), (2, "LOW_SCORE"), (0, "ACCEPTED")]


def test_equivocation_over_a_copied_payload_silences_nobody():
    """ROUND-11, CHAIN-12: a conviction remembers an identity, not a claim to its payload."""
    chain = everybody()
    update = chain.update(0)
    copies = [chain.update(1, payload_root=update.payload_root, norm=norm) for norm in (1, 2)]
    chain.send(chain.evidence(*copies))
    chain.close_round(0, 2)
    chain.commit()
    assert (0, "ACCEPTED") in chain.outcomes()


def test_a_payload_enters_the_model_once_even_when_the_copy_was_first_in_the_log():
    """ROUND-11: an undecided copy stands in front of the log; the block that used the payload decides."""
    chain = everybody()
    update = chain.update(0)
    copy = chain.update(1, payload_root=update.payload_root)
    chain.vote(3, copy, GOOD)
    chain.close_round(0, 2)
    chain.commit()
    chain.votes(copy, GOOD, GOOD)
    chain.play_round(0, 2)
    assert chain.outcomes() == [(1, "DUPLICATE"), (0, "ACCEPTED"), (2, "ACCEPTED")]
