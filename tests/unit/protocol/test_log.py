"""The log's one transition function."""

import pytest

from flobc.protocol.consensus.machine import MAX_RECORD_BYTES, apply_record, compute_log_digest
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import compute_digest
from flobc.protocol.messages import encode_record
from tests.support.dialogue import Chain, build_params, fingerprint, identity


def play() -> Chain:
    chain = Chain(params=build_params(mode="open", max_staleness=2))
    chain.join(identity("newcomer"))
    chain.report(0, loss=10)
    chain.play_round()
    chain.send(chain.evidence(chain.update(0, norm=1), chain.update(0, norm=2)))
    chain.timeout(1)
    chain.play_round(1, 2)
    chain.vote(3, chain.update(1))
    return chain


def test_the_state_is_a_function_of_the_records():
    """CHAIN-10."""
    chain = play()
    state = build_initial_state(chain.genesis)
    for record in chain.log:
        state = apply_record(state, record)
    assert fingerprint(state) == fingerprint(chain.state)


def test_each_header_commits_to_the_state_after_its_close():
    """CHAIN-10: the next round's state as it stood at the closing record."""
    chain = play()
    state = build_initial_state(chain.genesis)
    digests = {}
    for record in chain.log:
        closed, state = state.closed, apply_record(state, record)
        if closed is None and state.closed is not None:
            digests[state.closed.height] = compute_digest(state.core)
    assert digests == {block.height: block.header.state for block in chain.blocks}


def test_position_and_digest_count_valid_records_only():
    """CHAIN-11."""
    chain = play()
    digest = bytes(32)
    for record in chain.log:
        digest = compute_log_digest(digest, record)
    assert chain.state.core.position == len(chain.log)
    assert chain.state.core.log_digest == digest


def test_invalid_records_change_nothing():
    """CHAIN-11: a record a second time, or one that nobody can read."""
    chain = play()
    for record in chain.log:
        before = chain.state
        with pytest.raises(Exception, match="expected"):
            chain.send(record)
        assert chain.state is before
    with chain.refuses("WIRE-10"):
        chain.send(b"")
    with chain.refuses("WIRE-10"):
        chain.send(b"\xff" + bytes(100))


def test_invalid_oversize_record():
    """WIRE-11: measured before it is read."""
    chain = Chain()
    record = encode_record(chain.build_vote(0, chain.update(0)))
    with chain.refuses("WIRE-11"):
        chain.send(record + bytes(MAX_RECORD_BYTES))
    with chain.refuses("WIRE-3"):
        chain.send(record + bytes(MAX_RECORD_BYTES - len(record)))


def test_a_full_batch_fits_in_a_record():
    """WIRE-11, ROUND-5: 64 votes with 64 new headers, and room to spare."""
    chain = Chain(trainers=64)
    updates = [chain.update(trainer) for trainer in range(64)]
    batches = [chain.build_vote(0, update) for update in updates]
    assert 4 * sum(len(encode_record(batch)) for batch in batches) < MAX_RECORD_BYTES
