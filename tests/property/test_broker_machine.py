"""A broker that shows validators different logs, with a validator that helps it: it may stop a chain, never fork it."""

from collections import defaultdict
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import compute_header_digest, verify_certificate
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.messages import (
    Fault,
    Ready,
    Seal,
    Timeout,
    UpdateHeader,
    Vote,
    VoteBatch,
    compute_update_id,
    encode_record,
    sign,
)
from tests.support.dialogue import Chain, build_params
from tests.support.replica import Replica, compute_model, run

LIAR = 3
replicas = st.integers(0, 2)


class View:
    """One of the broker's logs and what it says."""

    def __init__(self, chain: Chain, records: list[bytes]) -> None:
        self.chain = chain
        self.log = list(records)
        self.state = build_initial_state(chain.genesis)
        self.blocks: dict[int, bytes] = {0: self.state.head_digest}
        self.offset = 0

    def catch_up(self) -> None:
        for record in self.log[self.offset :]:
            with suppress(RemoteProtocolError):
                self.state = apply_record(self.state, record)
                self.blocks[self.state.height] = self.state.head_digest
        self.offset = len(self.log)


class LyingBroker(RuleBasedStateMachine):
    """Three honest validators, each at the end of whichever log the broker shows it, and a liar at the end of all."""

    @initialize(first=st.integers(0, 1), second=st.integers(0, 1))
    def start(self, first, second):
        self.chain = Chain(params=build_params("bap", majority_ratio_ppm=300_000))
        self.views = [View(self.chain, []), View(self.chain, [])]
        shown = (0, first, second)
        self.replicas = [
            Replica(i, self.chain.validators[i], self.chain.genesis, self.views[shown[i]].log, lambda i, header: 0)
            for i in range(3)
        ]
        self.lies: list[Seal] = []

    def view(self, number: int) -> View:
        view = self.views[number % len(self.views)]
        view.catch_up()
        return view

    def publish(self, trainer: int, base: int, to: set[int]) -> UpdateHeader:
        update = self.chain.update(trainer, base=base)
        for index in sorted(to):
            self.replicas[index].deliver(update)
        return update

    def liar_says(self, view: View, message) -> None:
        view.log.append(encode_record(sign(message, self.chain.validators[LIAR])))
        view.catch_up()

    # Honest validators do what they owe.

    @rule(index=replicas, times=st.integers(1, 8))
    def validator_acts(self, index, times):
        for _ in range(times):
            self.replicas[index].step()

    @rule(index=replicas)
    def timer_expires(self, index):
        self.replicas[index].expire()

    @rule(trainer=st.integers(0, 2), index=replicas, to=st.sets(replicas, min_size=1))
    def trainer_publishes(self, trainer, index, to):
        self.publish(trainer, self.replicas[index].state.height, to)

    # The liar agrees with everybody at once.

    @rule(number=st.integers(0, 3), trainer=st.integers(0, 2))
    def liar_votes(self, number, trainer):
        view = self.view(number)
        update = self.chain.update(trainer, base=view.state.height)
        vote = Vote(compute_update_id(update), 0, Fault.NONE, 0)
        key = self.chain.validators[LIAR].public_key
        self.liar_says(view, VoteBatch(view.state.chain, key, None, (update,), (vote,)))

    @rule(number=st.integers(0, 3))
    def liar_times_out(self, number):
        view = self.view(number)
        core, key = view.state.core, self.chain.validators[LIAR].public_key
        self.liar_says(view, Timeout(view.state.chain, key, core.height + 1, core.step))

    @rule(number=st.integers(0, 3))
    def liar_seals_whatever_is_closed(self, number):
        view = self.view(number)
        closed, key = view.state.closed, self.chain.validators[LIAR].public_key
        if closed is None:
            return
        model = compute_model(closed)
        header = compute_header_digest(closed.build_header(model))
        self.liar_says(view, Ready(view.state.chain, key, closed.height, header, model))
        seal = sign(Seal(view.state.chain, key, closed.height, header), self.chain.validators[LIAR])
        self.lies.append(seal)
        view.log.append(encode_record(seal))

    # The broker shows, copies, hides and rewinds.

    @rule(index=replicas, number=st.integers(0, 3))
    def validator_restarts_on_another_log(self, index, number):
        self.replicas[index].read_from(self.view(number).log)

    @rule(data=st.data(), one=st.integers(0, 3), other=st.integers(0, 3))
    def record_is_copied_to_another_log(self, data, one, other):
        source = self.view(one).log
        if source:
            self.view(other).log.append(data.draw(st.sampled_from(source)))

    @rule(data=st.data(), number=st.integers(0, 3))
    def log_is_forked(self, data, number):
        log = self.view(number).log
        if len(self.views) < 4:
            self.views.append(View(self.chain, log[: data.draw(st.integers(0, len(log)))]))

    @rule(number=st.integers(0, 3), moved=st.sets(replicas), trainers=st.sets(st.integers(0, 2), min_size=1))
    def everybody_on_one_log_goes_on(self, number, moved, trainers):
        """The likeliest way to a certificate: all that read one log work on it, and the liar helps."""
        view = self.view(number)
        for index in sorted(moved):
            self.replicas[index].read_from(view.log)
        readers = [replica for replica in self.replicas if replica.log is view.log]
        if not readers:
            return
        for replica in readers:
            replica.catch_up()
        height = readers[0].state.height
        for trainer in sorted(trainers):
            self.publish(trainer, height, {replica.index for replica in readers})
            self.liar_votes(number, trainer)
        for _ in range(3):
            run(readers, lambda state: state.height > height, expiries=1)
            self.liar_seals_whatever_is_closed(number)
            self.liar_times_out(number)

    # What holds, whatever the broker does.

    @invariant()
    def no_height_has_two_certificates(self):
        """CHAIN-5, CHAIN-6, ROUND-15: counted over every seal that was ever signed, published or not."""
        seals = [seal for replica in getattr(self, "replicas", []) for seal in replica.seals]
        signers = defaultdict(set)
        for seal in seals + getattr(self, "lies", []):
            signers[seal.height, seal.header].add(seal.validator)
        certified = [height for (height, _), keys in signers.items() if len(keys) >= 3]
        assert len(certified) == len(set(certified))

    @invariant()
    def honest_validators_seal_once(self):
        """ROUND-15."""
        for replica in getattr(self, "replicas", []):
            headers = {(seal.height, seal.header) for seal in replica.seals}
            assert len(headers) == len({height for height, _ in headers})

    @invariant()
    def all_logs_tell_one_chain(self):
        """CHAIN-6, CHAIN-8: as far as each goes."""
        known: dict[int, bytes] = {}
        for view in getattr(self, "views", []):
            view.catch_up()
            for height, head in view.blocks.items():
                assert known.setdefault(height, head) == head
            head = view.state.head
            if head.height:
                assert verify_certificate(head.header, head.certificate, self.chain.genesis.validators, 3)


LyingBroker.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLyingBroker = LyingBroker.TestCase
