"""Succession under attack: a broker that shows everybody another log, liars that sign anything, two rival plans.

The machine keeps no log. It grants the attacker everything that honest validators do not rule out by
themselves: an honest validator gets ready with any child of a certified header, as often as it is restarted
on another log, and seals what a quorum was ready with, once a height and never after its approval.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flobc.adapters.memory import MemorySeals
from flobc.errors import LocalProtocolError, UsageError
from flobc.protocol.chain.block import Header, compute_header_digest
from flobc.protocol.consensus.starts import find_starts
from flobc.protocol.consensus.succession import (
    Start,
    build_first_start,
    build_successor,
    is_proved,
    validate_successor,
)
from flobc.protocol.encoding import compute_digest
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Approve, Ready, Seal, sign
from flobc.protocol.params import get_fault_tolerance, get_quorum
from tests.support.dialogue import Chain, build_genesis, digest, identities
from tests.support.succession import approve, build_plan, build_seal

indices = st.integers(0, 6)


class AttackedSuccession(RuleBasedStateMachine):
    """Any interleaving of sealing and approving, with as many liars as are tolerated."""

    @initialize(size=st.sampled_from([4, 5, 7]))
    def start(self, size: int) -> None:
        self.genesis = build_genesis(validators=size)
        everybody = identities("validator", size)
        faults = get_fault_tolerance(size)
        self.quorum = get_quorum(size)
        self.honest, self.liars = everybody[faults:], everybody[:faults]
        self.plans = [build_plan(self.genesis), build_plan(self.genesis, removed=(digest("somebody"),))]
        first = build_first_start(self.genesis)
        self.chain, self.state = first.header.chain, first.state
        self.headers: dict[bytes, Header] = {compute_header_digest(first.header): first.header}
        self.first = compute_header_digest(first.header)
        self.readys: dict[bytes, dict[bytes, Ready]] = {}
        self.seals: dict[bytes, dict[bytes, Seal]] = {}
        self.stores = MemorySeals()
        self.approvals: list[Approve] = []
        self.successors: set[tuple[bytes, bytes]] = set()

    # What the attacker may count on.

    def is_certified(self, header: bytes) -> bool:
        """Whether a certificate of this header exists or could be made: every liar would sign."""
        return header == self.first or len(self.seals.get(header, {})) + len(self.liars) >= self.quorum

    def is_locked(self, header: bytes) -> bool:
        return len(self.readys.get(header, {})) + len(self.liars) >= self.quorum

    def build_child(self, parent: bytes, variant: int) -> bytes:
        above = self.headers[parent]
        header = replace(above, height=above.height + 1, parent=parent, step=variant)
        found = compute_header_digest(header)
        self.headers[found] = header
        return found

    def pick(self, number: int) -> bytes:
        """A header whose parent is certified, or block 0."""
        open_ones = [key for key, item in self.headers.items() if key == self.first or self.is_certified(item.parent)]
        return open_ones[number % len(open_ones)]

    # Honest validators, on whatever log the broker shows them.

    def get_ready(self, who: Identity, header: bytes) -> None:
        height = self.headers[header].height
        ready = sign(Ready(self.chain, who.public_key, height, header, digest("model")), who)
        self.readys.setdefault(header, {})[who.public_key] = ready

    def seal(self, who: Identity, header: bytes) -> None:
        """As a validator does: what is locked, above its last seal; its store has the last word."""
        last = self.stores.load(who.public_key)
        height = self.headers[header].height
        if not self.is_locked(header) or (last is not None and last.height >= height):
            return
        seal = build_seal(self.chain, who, self.headers[header])
        try:
            self.stores.save(seal)
        except LocalProtocolError:
            return
        self.seals.setdefault(header, {})[who.public_key] = seal

    @rule(back=st.integers(0, 8), variant=st.integers(0, 1), ready=st.sets(indices), seal=st.sets(indices))
    def a_block_is_made(self, back: int, variant: int, ready: set[int], seal: set[int]) -> None:
        certified = [key for key in self.headers if self.is_certified(key)]
        header = self.build_child(certified[-1 - back % len(certified)], variant)
        for index in sorted(ready):
            self.get_ready(self.honest[index % len(self.honest)], header)
        for index in sorted(seal):
            self.seal(self.honest[index % len(self.honest)], header)

    @rule(variant=st.integers(0, 1), skipped=indices)
    def nearly_everybody_makes_a_block(self, variant: int, skipped: int) -> None:
        certified = [key for key in self.headers if self.is_certified(key)]
        self.a_block_is_made(0, variant, set(range(7)), set(range(7)) - {skipped})
        assert len(certified) <= len([key for key in self.headers if self.is_certified(key)])

    @rule(number=st.integers(0, 50), seal=st.sets(indices))
    def a_rival_is_locked(self, number: int, seal: set[int]) -> None:
        """Everybody is restarted on a log with another block in a header's place; who has not sealed may seal it."""
        header = self.headers[self.pick(number)]
        if header.height:
            rival = self.build_child(header.parent, 1 - header.step)
            for who in self.honest:
                self.get_ready(who, rival)
            for index in sorted(seal):
                self.seal(self.honest[index % len(self.honest)], rival)

    @rule(number=st.integers(0, 50), variant=st.integers(0, 1))
    def a_block_is_invented(self, number: int, variant: int) -> None:
        """On whatever liars like: nobody honest has seen it, so no quorum proves it."""
        everything = list(self.headers)
        self.build_child(everything[number % len(everything)], variant)

    @rule(plan=st.integers(0, 1), skipped=indices)
    def nearly_everybody_approves(self, plan: int, skipped: int) -> None:
        for index in range(len(self.honest)):
            if index != skipped:
                self.an_honest_validator_approves(index, plan)

    @rule(number=st.integers(0, 50), index=indices)
    def one_more_seal(self, number: int, index: int) -> None:
        header = self.pick(number)
        if header != self.first:
            self.seal(self.honest[index % len(self.honest)], header)

    @rule(index=indices, plan=st.integers(0, 1))
    def an_honest_validator_approves(self, index: int, plan: int) -> None:
        who = self.honest[index % len(self.honest)]
        approval = approve(self.plans[plan], who, self.stores.load(who.public_key))
        try:
            self.stores.save_approve(approval)
        except UsageError:
            return
        self.approvals.append(approval)

    # What holds after every step.

    def prove(self, header: bytes) -> list[Start]:
        """Every proof of a header that liars and what honest validators signed make."""
        item = self.headers[header]
        if header == self.first:
            return [Start(item, self.state)]
        starts = []
        for liar in self.liars:
            self.get_ready(liar, header)
        if self.is_certified(header):
            seals = dict(self.seals.get(header, {}))
            seals.update({liar.public_key: build_seal(self.chain, liar, item) for liar in self.liars})
            starts.append(Start(item, self.state, seals=tuple(seal for _, seal in sorted(seals.items()))))
        starts.append(Start(item, self.state, readys=tuple(one for _, one in sorted(self.readys[header].items()))))
        return [start for start in starts if is_proved(self.genesis, start)]

    @invariant()
    def nothing_certified_is_left_behind(self) -> None:
        """CHAIN-15: in the past of every successor that could ever be made there is every certified block."""
        if not hasattr(self, "genesis"):
            return
        for plan in self.plans:
            approvals = [*self.approvals, *(approve(plan, liar, None) for liar in self.liars)]
            for header in self.headers:
                for start in self.prove(header):
                    try:
                        child = build_successor(self.genesis, plan, [start], approvals)
                    except UsageError:
                        continue
                    validate_successor(self.genesis, child)
                    self.successors.add((compute_digest(plan), header))
        for _, begun in self.successors:
            past = self.list_past(begun)
            assert all(key in past for key in self.headers if self.is_certified(key))

    @invariant()
    def two_plans_are_never_carried_out(self) -> None:
        """CHAIN-14: one honest validator of each quorum approved them both, which none does."""
        assert len({plan for plan, _ in getattr(self, "successors", ())}) <= 1

    @invariant()
    def no_height_has_two_certificates(self) -> None:
        """CHAIN-5: without this the rest would mean nothing."""
        certified = [key for key in getattr(self, "headers", ()) if self.is_certified(key)]
        assert len({self.headers[key].height for key in certified}) == len(certified)

    def list_past(self, header: bytes) -> set[bytes]:
        past = {header}
        while header != self.first:
            header = self.headers[header].parent
            past.add(header)
        return past


TestAttackedSuccession = AttackedSuccession.TestCase
TestAttackedSuccession.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@given(order=st.permutations(range(4)), steps=st.integers(0, 10), claim=st.sampled_from([None, "lie", 2**63]))
def test_an_honest_quorum_always_gets_its_successor(order: list[int], steps: int, claim: object) -> None:
    """CHAIN-15: on one log a liar's approval stops nobody, wherever the chain stands when it ends."""
    chain = build_unfinished(steps, order)
    liar = chain.validators[order[-1]]
    plan = build_plan(chain.genesis)
    waiting = {} if chain.state.closed is None else chain.state.closed.seals
    sealed = {seal.validator: seal for seal in (*chain.state.head.certificate, *waiting.values())}
    approvals = [
        approve(plan, chain.validators[index], sealed.get(chain.validators[index].public_key)) for index in order[:3]
    ]
    height = claim if isinstance(claim, int) else chain.state.core.height
    lie = build_seal(plan.chain, liar, replace(chain.state.head.header, height=height, step=77))
    approvals.append(approve(plan, liar, None if claim is None else lie))
    child = build_successor(chain.genesis, plan, find_starts(chain.genesis, chain.log), approvals)
    validate_successor(chain.genesis, child)
    assert child.parent is not None
    assert child.parent.header.height >= chain.state.height


def build_unfinished(steps: int, order: list[int]) -> Chain:
    """A block, and a second one as far as so many readys and seals bring it."""
    chain = Chain()
    chain.play_round()
    chain.close_round()
    height, model = chain.state.height, digest("model", "unfinished")
    for step in range(steps):
        if chain.state.height > height or chain.state.closed is None:
            break
        if chain.state.closed.locked is None:
            chain.ready(order[step % 4], model)
        else:
            who = next(index for index in order if chain.validators[index].public_key not in chain.state.closed.seals)
            chain.seal(who, model)
    return chain


def test_one_seal_more_would_break_it() -> None:
    """CHAIN-14, CHAIN-15: what the machine rules out is real; a validator that seals after its approval forks."""
    chain = Chain()
    plan = build_plan(chain.genesis)
    approvals = [approve(plan, chain.validators[index], None) for index in range(3)]
    child = build_successor(chain.genesis, plan, find_starts(chain.genesis, chain.log), approvals)
    chain.play_round()
    assert child.parent is not None
    assert child.parent.header.height < chain.state.height
    seal, store = chain.state.head.certificate[0], MemorySeals()
    store.save(seal)
    with pytest.raises(UsageError, match="last seal"):
        store.save_approve(next(item for item in approvals if item.validator == seal.validator))
