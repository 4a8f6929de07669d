"""Asking a running chain to be let in, and finding out whether one is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from flobc.errors import TransientError, UsageError, VerificationError
from flobc.ports.peers import LedgerPeer
from flobc.ports.topics import Topic
from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.consensus.state import ChainState, build_initial_state, decode_state
from flobc.protocol.messages import Join, encode_record
from flobc.protocol.params import Genesis, get_chain_id
from flobc.protocol.roles.light_client import LightClient

ACKNOWLEDGED_S = 60.0
RESEND_S = 5.0
"""Validators pass on one request at a time, so one of several at once may have to be made again."""
POLL_S = 0.5


def send_join(updates: Topic, join: Join) -> None:
    """Publish a request where validators find it. **Raises** TransientError."""
    try:
        updates.append(join.trainer, encode_record(join)).result(ACKNOWLEDGED_S)
    except TimeoutError as error:
        raise TransientError("Kafka did not acknowledge the request to join in time; try again.", RESEND_S) from error


def wait_for_admission(
    genesis: Genesis,
    ledger: LedgerPeer,
    join: Join,
    send: Callable[[], None],
    timeout_s: float,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> int:
    """Ask again and again until the certified state has the trainer, and return that state's height.

    **Raises** UsageError when the chain will never let it in, TransientError when it has not in time.
    """
    until_s, sent_s = now() + timeout_s, None
    while True:
        state = read_certified_state(genesis, ledger)
        if join.trainer in state.core.trainers:
            return state.height
        hindrance = find_hindrance(state, join)
        if hindrance is not None:
            raise UsageError(f"The chain does not let this trainer in: {hindrance}")
        if now() > until_s:
            raise TransientError(
                f"After {timeout_s:.0f} s block {state.height} does not have the trainer yet; the request stays "
                "valid, so ask again later.",
                RESEND_S,
            )
        if sent_s is None or now() - sent_s >= RESEND_S:
            send()
            sent_s = now()
        wait(POLL_S)


def read_certified_state(genesis: Genesis, ledger: LedgerPeer) -> ChainState:
    """Return the chain's newest state that a ledger has, checked against its certificate (CHAIN-6, CHAIN-10).

    **Raises** VerificationError when it is not certified, TransientError while the ledger lacks it.
    """
    initial = build_initial_state(genesis)
    newest = ledger.get_head()
    if newest is None:
        return initial
    if newest.header.chain != get_chain_id(genesis):
        raise VerificationError(newest.height, "CHAIN-1", "the ledger serves another chain than the genesis begins")
    LightClient(genesis).require_certified(newest.header, newest.certificate)
    data = ledger.get_state(newest.header.state)
    if data is None:
        raise TransientError(f"The ledger has no state of block {newest.height} yet; try again.", POLL_S)
    head = Block(newest.header, newest.certificate, EMPTY_BODY)
    return dataclasses.replace(initial, head=head, core=decode_state(data, newest.header.state))


def find_hindrance(state: ChainState, join: Join) -> str | None:
    """Return why this request can never be granted, or None; that a block is full passes (CHAIN-9)."""
    core, invitation = state.core, join.invitation
    if len(core.trainers) >= state.params.admission.max_trainers:
        return f"it has {len(core.trainers)} trainers, which is its most."
    if invitation is None:
        return None
    if core.height >= invitation.expires_height:
        return f"the invitation was good below height {invitation.expires_height}; ask the operator for a new one."
    if core.invitations.get(invitation.invite_key, 0) >= invitation.max_joins:
        return f"the invitation was for {invitation.max_joins} and is used up; ask the operator for a new one."
    return None
