"""Chains under attack: one log with liars on it, and one broker that shows everybody another log."""

from contextlib import suppress
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import (
    Reason,
    compute_header_digest,
    find_body_defect,
    verify_certificate,
)
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import (
    build_identity_key,
    build_initial_state,
)
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import (
    NO_SIGNATURE,
    Fault,
    Ready,
    Vote,
    VoteBatch,
    compute_update_id,
    encode_record,
    sign,
)
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.params import TRUST_ONE
from flobc.protocol.trust.weights import WEIGHT_ONE
from tests.support.dialogue import Chain, build_params, digest, fingerprint, identity
from tests.support.replica import compute_model

LIAR = 3
HONEST = (0, 1, 2)
honest = st.sampled_from(HONEST)
trainers = st.integers(0, 2)
honest_scores = st.sampled_from([-300_000, -20_000, -1_000, 0, 1_000, 50_000, 200_000])
any_scores = st.one_of(honest_scores, st.sampled_from([1, -SCORE_ONE, SCORE_ONE, 2**31 - 1, -(2**31)]))
faults = st.sampled_from(list(Fault))


class AttackedChain(RuleBasedStateMachine):
    """Three honest validators and a liar, trainers that break every rule, copies and junk on one log."""

    @initialize(
        scheme=st.sampled_from(["bsp", "ssp", "bap"]),
        policy=st.sampled_from(["none", "flobc", "flobc_plus"]),
        max_staleness=st.integers(0, 3),
    )
    def start(self, scheme, policy, max_staleness):
        params = build_params(
            scheme,
            policy=policy,
            max_staleness=max_staleness,
            quota=3,
            mode="open",
            max_joins_per_block=2,
            max_trainers=6,
        )
        self.chain = Chain(params=params)
        self.other = Chain(params=params, salt="other")
        self.topic: list[bytes] = []

    def attempt(self, record: bytes) -> None:
        """What the log takes or refuses: a refusal is a RemoteProtocolError and changes nothing (CHAIN-11)."""
        before, seen = self.chain.state, fingerprint(self.chain.state)
        self.topic.append(record)
        try:
            self.chain.send(record)
        except RemoteProtocolError:
            assert self.chain.state is before
        assert fingerprint(before) == seen

    def attempt_say(self, message, who) -> None:
        self.attempt(encode_record(sign(message, who)))

    def attempt_vote(self, validator, update, score, fault=Fault.NONE) -> None:
        batch = self.chain.build_vote(validator, update, score, fault)
        self.attempt_say(batch, self.chain.validators[validator])

    def base(self, back: int) -> int:
        return max(0, self.chain.state.height - back)

    # Honest work.

    @rule(voters=st.permutations(HONEST), trainer=trainers, back=st.integers(0, 2), k=st.integers(0, 1), data=st.data())
    def honest_votes(self, voters, trainer, back, k, data):
        update = self.chain.update(trainer, base=self.base(back), k=k)
        for validator in voters[: data.draw(st.integers(1, 3))]:
            self.attempt_vote(validator, update, data.draw(honest_scores))

    @rule(validator=honest, loss=st.integers(0, 10))
    def honest_report(self, validator, loss):
        with suppress(RemoteProtocolError):
            self.topic.append(self.chain.report(validator, loss))

    @rule(voters=st.sets(honest))
    def honest_timeouts(self, voters):
        for validator in sorted(voters):
            with suppress(RemoteProtocolError):
                self.topic.append(self.chain.timeout(validator))

    @precondition(lambda self: self.chain.state.closed is not None)
    @rule(order=st.permutations(HONEST), count=st.integers(1, 3))
    def honest_readys(self, order, count):
        for validator in order[:count]:
            if self.chain.state.closed.locked is None:
                with suppress(RemoteProtocolError):
                    self.topic.append(self.chain.ready(validator, compute_model(self.chain.state.closed)))

    @precondition(lambda self: self.chain.state.closed is not None and self.chain.state.closed.locked is not None)
    @rule(order=st.permutations(HONEST), count=st.integers(1, 3))
    def honest_seals(self, order, count):
        height = self.chain.state.closed.height
        for validator in order[:count]:
            closed = self.chain.state.closed
            if closed is not None and closed.height == height and closed.locked is not None:
                assert closed.locked == compute_model(closed)
                self.attempt(encode_record(self.chain.build_seal(validator, closed.locked)))

    @rule(score=honest_scores, lie=st.sampled_from([None, -SCORE_ONE, SCORE_ONE]), copied=st.booleans())
    def play_a_round(self, score, lie, copied):
        """Whatever has happened, three honest validators bring the chain one block further."""
        height = self.chain.state.height
        for trainer in range(3):
            for back, k in ((0, 0), (0, 1), (1, 2)):
                changes = {"payload_root": digest("copied", self.base(back))} if copied else {}
                update = self.chain.update(trainer, base=self.base(back), k=k, **changes)
                if lie is not None:
                    self.attempt_vote(LIAR, update, lie)
                for validator in HONEST:
                    if self.chain.state.closed is None:
                        self.attempt_vote(validator, update, score)
        if self.chain.state.round_view.decided_updates == 0 and self.chain.state.closed is None:
            return  # everybody has just been convicted, or has nothing new
        for _ in range(3):
            if self.chain.state.closed is None:
                self.honest_timeouts(set(HONEST))
        assert self.chain.state.closed is not None
        self.honest_readys(HONEST, 3)
        if lie is not None:
            self.liar_seals_twice(report=False)
        self.honest_seals(HONEST, 3)
        assert self.chain.state.height == height + 1

    # The liar.

    @rule(trainer=trainers, back=st.integers(-1, 4), k=st.integers(0, 2), score=any_scores, fault=faults)
    def liar_votes(self, trainer, back, k, score, fault):
        update = self.chain.update(trainer, base=max(0, self.chain.state.height - back), k=k)
        vote = Vote(compute_update_id(update), score, fault, 2**32 - 1)
        batch = replace(self.chain.build_vote(LIAR, update), votes=(vote,))
        self.attempt_say(batch, self.chain.validators[LIAR])

    @rule(loss=st.sampled_from([-(2**63), 0, 2**63 - 1]))
    def liar_reports(self, loss):
        with suppress(RemoteProtocolError):
            self.topic.append(self.chain.report(LIAR, loss, accuracy=loss))

    @rule(height=st.integers(0, 5), step=st.integers(0, 3))
    def liar_times_out(self, height, step):
        with suppress(RemoteProtocolError):
            self.topic.append(self.chain.timeout(LIAR, height=height, step=step))

    @precondition(lambda self: self.chain.state.closed is not None)
    @rule(model=st.sampled_from([digest("lie", 1), digest("lie", 2)]), right_header=st.booleans())
    def liar_is_ready_with_lies(self, model, right_header):
        closed, who = self.chain.state.closed, self.chain.validators[LIAR]
        header = compute_header_digest(closed.build_header(model)) if right_header else digest("header")
        self.attempt_say(Ready(self.chain.state.chain, who.public_key, closed.height, header, model), who)

    @precondition(lambda self: self.chain.state.closed is not None)
    @rule(report=st.booleans())
    def liar_seals_twice(self, report):
        truth = self.chain.build_seal(LIAR, compute_model(self.chain.state.closed))
        lie = self.chain.build_seal(LIAR, digest("lie"))
        self.attempt(encode_record(lie))
        self.attempt(encode_record(truth))
        if report:
            self.attempt(encode_record(self.chain.evidence(truth, lie)))

    @rule(validator=honest, trainer=trainers)
    def liar_signs_for_others(self, validator, trainer):
        """WIRE-9: nothing moves."""
        before = self.chain.state
        batch = self.chain.build_vote(validator, self.chain.update(trainer, base=self.base(0)))
        self.attempt_say(batch, self.chain.validators[LIAR])
        self.attempt(encode_record(batch))
        assert self.chain.state is before

    # Trainers and strangers.

    @rule(trainer=trainers, back=st.integers(0, 3), k=st.integers(0, 3), norms=st.sets(st.integers(1, 4), min_size=2))
    def trainer_equivocates(self, trainer, back, k, norms):
        first, second, *_ = (self.chain.update(trainer, base=self.base(back), k=k, norm=norm) for norm in sorted(norms))
        self.attempt_vote(LIAR, first, 0)
        self.attempt(encode_record(self.chain.evidence(first, second)))
        self.attempt_vote(0, second, 0)

    @rule(
        trainer=trainers,
        changes=st.sampled_from(
            [
                {"codec": "float32"},
                {"num_chunks": 7},
                {"num_examples": 0},
                {"norm": 2**64 - 1},
                {"num_examples": 2**64 - 1},
                {"base": 2**64 - 1},
                {"k": 2**16 - 1},
                {"signature": NO_SIGNATURE},
                {"payload_root": digest("shared payload")},
            ]
        ),
        voters=st.sets(st.integers(0, 3), min_size=1),
    )
    def trainer_breaks_a_rule(self, trainer, changes, voters):
        changes = dict(changes)
        unsigned = changes.pop("signature", None)
        update = self.chain.update(trainer, **changes)
        update = replace(update, signature=unsigned) if unsigned else update
        for validator in sorted(voters):
            self.attempt_vote(validator, update, 0)

    @rule(number=st.integers(0, 5))
    def stranger_joins(self, number):
        with suppress(RemoteProtocolError):
            self.topic.append(self.chain.join(identity("stranger", number)))

    @rule(number=st.integers(0, 5), validator=st.integers(0, 3))
    def stranger_trains(self, number, validator):
        self.attempt_vote(validator, self.chain.update(identity("stranger", number)), 0)

    @rule(who=st.sampled_from(["stranger", "trainer"]))
    def outsider_votes_and_times_out(self, who):
        one = identity(who, 0)
        update = self.chain.update(0)
        batch = VoteBatch(self.chain.state.chain, one.public_key, None, (update,), ())
        self.attempt_say(batch, one)
        with suppress(RemoteProtocolError):
            self.chain.timeout(one)

    # The log.

    @precondition(lambda self: self.topic)
    @rule(data=st.data())
    def an_old_record_comes_again(self, data):
        self.attempt(data.draw(st.sampled_from(self.topic)))

    @precondition(lambda self: self.topic)
    @rule(data=st.data(), junk=st.binary(min_size=1, max_size=4))
    def a_record_comes_damaged(self, data, junk):
        record = data.draw(st.sampled_from(self.topic))
        at = data.draw(st.integers(0, len(record)))
        self.attempt(record[:at] + junk + record[at + len(junk) :])

    @rule(trainer=trainers, validator=honest)
    def another_chains_record(self, trainer, validator):
        update = self.other.update(trainer)
        batch = self.other.build_vote(validator, update)
        self.attempt(encode_record(sign(batch, self.other.validators[validator])))
        self.attempt_vote(validator, update, 0)

    # What holds after every record.

    @invariant()
    def positions_count_valid_records(self):
        """CHAIN-11."""
        if hasattr(self, "chain"):
            assert self.chain.state.core.position == len(self.chain.log)

    @invariant()
    def the_state_stays_encodable_and_bounded(self):
        """CHAIN-10, ROUND-2, ROUND-3, CHAIN-9: memory by members, window and quota, whatever is sent."""
        if not hasattr(self, "chain"):
            return
        state = self.chain.state
        core, sync = state.core, state.params.sync
        assert decode(type(core), encode(core)) == core
        window = 1 if sync.scheme == "bsp" else sync.max_staleness + 1
        quota = 1 if sync.scheme == "bsp" else sync.quota
        assert len(core.trainers) <= state.params.admission.max_trainers
        assert len(core.pending) <= len(core.trainers) * window * quota
        spent = [known for known in core.known.values() if known.convicted]
        assert len(core.known) <= len(core.trainers) * window * quota + len(spent)
        assert all(build_identity_key(item.header) in core.known for item in core.pending.values())
        assert len(core.evidence) <= len(core.trainers) + len(self.chain.validators)
        assert core.norm_bounds[core.height] <= 2**64 - 1
        assert core.muted in ((), (self.chain.validators[LIAR].public_key,))

    @invariant()
    def trust_stays_in_range(self):
        """TRUST-4, TRUST-5, TRUST-6, TRUST-16."""
        if not hasattr(self, "chain"):
            return
        params, entries = self.chain.state.params.trust, self.chain.state.core.trust.entries
        values = [entry.trust for entry in entries.values()]
        assert set(entries) == set(self.chain.state.core.trainers)
        if params.policy == "flobc_plus":
            assert all(params.floor <= trust <= params.cap for trust in values)
        else:
            assert sum(values) == TRUST_ONE
            assert min(values) >= 0

    @invariant()
    def blocks_hold_by_themselves(self):
        """CHAIN-6 to CHAIN-8, ROUND-10, ROUND-11, AGG-W5, for the newest block; older ones were checked before."""
        blocks = getattr(self, "chain", None) and self.chain.blocks
        if not blocks:
            return
        block = blocks[-1]
        assert verify_certificate(block.header, block.certificate, self.chain.genesis.validators, 3)
        assert find_body_defect(block.header, block.body) is None
        assert block.header.parent == (
            compute_header_digest(blocks[-2].header)
            if len(blocks) > 1
            else build_initial_state(self.chain.genesis).head_digest
        )
        assert sum(item.weight for item in block.body.decisions) <= WEIGHT_ONE
        liar = self.chain.validators[LIAR].public_key
        for decision, counted in zip(block.body.decisions, block.body.votes, strict=True):
            scores = [vote.score for vote in counted.votes if vote.validator != liar]
            assert len(counted.votes) >= 3
            assert decision.reason is Reason.ACCEPTED or decision.weight == 0
            assert min(scores) <= decision.score <= max(scores)
            assert decision.fault is Fault.NONE
            assert all(vote.score % 1000 == 0 and abs(vote.score) <= SCORE_ONE for vote in counted.votes)

    @invariant()
    def nothing_is_used_twice(self):
        """ROUND-3, ROUND-11: no update in two blocks; used bases rise; no payload twice in a block."""
        blocks = getattr(self, "chain", None) and self.chain.blocks
        if not blocks:
            return
        decided = [item.update for block in blocks for item in block.body.decisions]
        assert len(decided) == len(set(decided))
        bases: dict[bytes, int] = {}
        for block in blocks:
            for item in block.accepted:
                assert item.base_height > bases.get(item.trainer, -1)
                bases[item.trainer] = item.base_height
            roots = [
                header.payload_root
                for item, header in zip(block.body.decisions, block.body.headers, strict=True)
                if item.reason is Reason.ACCEPTED
            ]
            assert len(roots) == len(set(roots))

    def teardown(self):
        """CHAIN-10, CHAIN-11: a replica that reads junk and every record twice is where this one is."""
        if not hasattr(self, "chain"):
            return
        state = build_initial_state(self.chain.genesis)
        for record in self.chain.log:
            for item in (b"junk", record, record):
                with suppress(RemoteProtocolError):
                    state = apply_record(state, item)
        assert fingerprint(state) == fingerprint(self.chain.state)


AttackedChain.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAttackedChain = AttackedChain.TestCase
