"""A log that others write too: a record counts when it is read back, once, and what is lost is sent again."""

from __future__ import annotations

from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.memory import MemoryBroker, MemoryLog, MemoryTopic
from flobc.errors import FlobcError, RemoteProtocolError, TransientError, UsageError
from flobc.ports.topics import Entry, Topic
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state, compute_state_digest
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Ready, VoteBatch, decode_record
from flobc.runtime.follower import ChainFollower
from flobc.runtime.live_follower import RESEND_MS, LiveFollower
from flobc.runtime.outbox import Outbox
from tests.support.dialogue import Chain, build_params, digest, fingerprint
from tests.support.hand_scheduler import HandScheduler


def play(rounds: int) -> Chain:
    chain = Chain()
    for _ in range(rounds):
        chain.play_round()
    return chain


CHAIN = play(2)


class Scene:
    """A follower on a topic in memory, and everything that it tells."""

    def __init__(self, chain: Chain, topic: Topic | None = None) -> None:
        self.scheduler = HandScheduler()
        self.topic = topic or MemoryBroker().open("log")
        self.follower = LiveFollower(self.topic, build_initial_state(chain.genesis), self.scheduler)
        self.follower.expect(self.topic.ends())
        self.told: list[tuple[str, int]] = []
        self.refused: list[bytes] = []
        self.lost = 0
        self.follower.on_commit = lambda state: self.told.append(("commit", state.height))
        self.follower.on_closed = lambda state: self.told.append(("closed", state.core.height))
        self.follower.on_refused = lambda record, _: self.refused.append(record)
        self.follower.on_lost = self._on_lost

    def _on_lost(self) -> None:
        self.lost += 1

    def read(self) -> None:
        self.follower.take(self.topic.read(0.0))


class SilentTopic(MemoryTopic):
    """A topic that takes records and leaves it open what became of them."""

    def __init__(self) -> None:
        super().__init__("log", MemoryBroker().open("log")._log)
        self.answers: list[Future[None]] = []

    def append(self, key: bytes, value: bytes, traces: object = ()) -> Future[None]:
        self.answers.append(Future())
        return self.answers[-1]


noise = st.lists(
    st.tuples(
        st.integers(0, len(CHAIN.log)),
        st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(CHAIN.log)),
    ),
    max_size=12,
)


@given(noise, st.lists(st.integers(1, 9), max_size=12))
def test_whatever_the_batches_and_the_noise_it_is_the_embedded_followers_chain(
    extra: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    """CHAIN-10: the state is the log's alone, however it was read."""
    records = list(CHAIN.log)
    for index, record in sorted(extra, key=lambda item: -item[0]):
        records.insert(index, record)
    log = MemoryLog()
    commits: list[int] = []
    reference = ChainFollower(log, build_initial_state(CHAIN.genesis), lambda state: commits.append(state.height))
    scene = Scene(CHAIN)
    for record in records:
        log.append(record)
        scene.topic.append(b"", record)
    reference.catch_up()
    entries = scene.topic.read(0.0)
    for size in [*sizes, len(entries)]:
        scene.follower.take(entries[:size])
        entries = entries[size:]
    assert fingerprint(scene.follower.state) == fingerprint(reference.state)
    assert scene.follower.rejected == reference.rejected
    assert scene.follower.offset == reference.offset == len(records)
    assert [height for kind, height in scene.told if kind == "commit"] == commits


def test_tells_closings_and_blocks_in_their_order() -> None:
    scene = Scene(CHAIN)
    for record in CHAIN.log:
        scene.topic.append(b"", record)
    scene.read()
    assert scene.told == [("closed", 1), ("commit", 1), ("closed", 2), ("commit", 2)]


def test_a_round_that_closes_with_the_seal_of_the_one_before_is_told_too() -> None:
    """Votes go on while a block is sealed, so the sealing record may close the next round at once (ROUND-12)."""
    chain = Chain(params=build_params("bap", majority_ratio_ppm=1, max_staleness=4))
    states: dict[int, bytes] = {}
    scene = Scene(chain)

    def keep(state: ChainState) -> None:
        scene.told.append(("closed", state.core.height))
        states[state.core.height] = encode(state.core)

    scene.follower.on_closed = keep
    chain.close_round(0)
    assert chain.state.closed is not None
    height = chain.state.closed.height
    chain.votes(chain.update(1, base=0), *[100_000] * chain.state.quorum)
    chain.commit()
    assert chain.state.height == height
    assert chain.state.closed is not None, "the next round is closed already"
    chain.commit(digest("model", 2))
    for record in chain.log:
        scene.topic.append(b"", record)
    scene.read()
    assert scene.told == [("closed", 1), ("commit", 1), ("closed", 2), ("commit", 2)]
    for block in chain.blocks:
        assert compute_state_digest(states[block.height]) == block.header.state


def test_caught_up_when_all_is_read_that_was_there_at_the_start() -> None:
    topic = MemoryBroker().open("log")
    for record in CHAIN.log[:3]:
        topic.append(b"", record)
    scene = Scene(CHAIN, topic)
    topic.append(b"", CHAIN.log[3])
    entries = topic.read(0.0)
    scene.follower.take(entries[:2])
    assert not scene.follower.caught_up
    scene.follower.take(entries[2:3])
    assert scene.follower.caught_up
    assert Scene(CHAIN).follower.caught_up, "an empty log holds nothing to wait for"


def test_offsets_may_leave_gaps() -> None:
    scene = Scene(CHAIN)
    scene.follower.take([Entry(0, 7 * index, record) for index, record in enumerate(CHAIN.log)])
    assert fingerprint(scene.follower.state) == fingerprint(CHAIN.state)
    assert scene.follower.offset == 7 * (len(CHAIN.log) - 1) + 1


def test_what_was_sent_moves_the_state_when_it_is_read_back_and_only_then() -> None:
    scene = Scene(CHAIN)
    record = CHAIN.log[0]
    before = scene.follower.state
    assert scene.follower.publish(record) is False
    assert scene.follower.state is before
    assert scene.follower.is_waiting(type(decode_record(record)))
    scene.read()
    assert scene.follower.state.core.position == 1
    assert not scene.follower.is_waiting(type(decode_record(record)))
    scene.scheduler.advance(2 * RESEND_MS)
    assert scene.lost == 0


def test_only_messages_of_one_kind_wait_for_each_other() -> None:
    scene = Scene(CHAIN, SilentTopic())
    kinds = {type(decode_record(record)): record for record in CHAIN.log}
    scene.follower.publish(kinds[VoteBatch])
    assert scene.follower.is_waiting(VoteBatch)
    assert not scene.follower.is_waiting(Ready)


def test_what_is_acknowledged_and_never_read_back_is_told_as_lost_once_and_may_be_sent_again() -> None:
    topic = SilentTopic()
    scene = Scene(CHAIN, topic)
    scene.follower.publish(CHAIN.log[0])
    scene.scheduler.advance(10 * RESEND_MS)
    assert scene.lost == 0, "its fate is not known, and sending it again would only add to what waits"
    topic.answers[0].set_result(None)
    scene.scheduler.advance(RESEND_MS - 1)
    assert scene.lost == 0
    scene.scheduler.advance(1)
    assert scene.lost == 1
    assert not scene.follower.is_waiting(type(decode_record(CHAIN.log[0])))
    scene.scheduler.advance(RESEND_MS)
    assert scene.lost == 1
    scene.follower.publish(CHAIN.log[0])
    assert len(topic.answers) == 2


def test_a_failed_answer_is_told_after_the_delay_it_asks_for_and_not_again() -> None:
    topic = SilentTopic()
    scene = Scene(CHAIN, topic)
    scene.follower.publish(CHAIN.log[0])
    topic.answers[0].set_exception(TransientError("not acknowledged in time", 0.1))
    scene.scheduler.advance(99)
    assert scene.lost == 0, "not at once: it would be as fast as this machine can"
    scene.scheduler.advance(1)
    assert scene.lost == 1
    scene.scheduler.advance(2 * RESEND_MS)
    assert scene.lost == 1


def test_an_answer_that_no_trying_again_can_mend_is_handed_on() -> None:
    topic = SilentTopic()
    scene = Scene(CHAIN, topic)
    failures: list[FlobcError] = []
    scene.follower.on_failure = failures.append
    scene.follower.publish(CHAIN.log[0])
    error = UsageError("Kafka refuses it.")
    topic.answers[0].set_exception(error)
    assert failures == [], "answers come on another thread and only post"
    scene.scheduler.run()
    assert failures == [error]


def test_a_late_answer_for_an_old_record_leaves_the_new_one_waiting() -> None:
    topic = SilentTopic()
    scene = Scene(CHAIN, topic)
    first, second = [record for record in CHAIN.log if isinstance(decode_record(record), VoteBatch)][:2]
    scene.follower.publish(first)
    scene.follower.take([Entry(0, 0, first)])
    scene.follower.publish(second)
    topic.answers[0].set_result(None)
    scene.scheduler.advance(2 * RESEND_MS)
    assert scene.lost == 0
    assert scene.follower.is_waiting(type(decode_record(second)))


def test_a_record_sent_twice_counts_once() -> None:
    """A failed answer may be wrong: the record is in the log all the same, and then a second time."""
    scene = Scene(CHAIN)
    scene.follower.publish(CHAIN.log[0])
    scene.follower.publish(CHAIN.log[0])
    scene.read()
    assert scene.follower.state.core.position == 1
    assert scene.refused == [CHAIN.log[0]]
    assert sum(scene.follower.rejected.values()) == 1


def find_refused() -> tuple[int, bytes]:
    """A record that is refused where another one is good: how many records come first, and the record."""
    state = build_initial_state(CHAIN.genesis)
    for index, record in enumerate(CHAIN.log):
        try:
            apply_record(state, CHAIN.log[-1])
        except RemoteProtocolError:
            return index, CHAIN.log[-1]
        state = apply_record(state, record)
    raise AssertionError("no record is ever refused")


def test_own_record_that_comes_too_late_wakes_its_sender_and_is_not_sent_again_before_the_next_block() -> None:
    """What is owed now was held back while the record was on its way; the state may not move by itself any more."""
    scene = Scene(CHAIN)
    index, late = find_refused()
    for record in CHAIN.log[:index]:
        scene.topic.append(b"", record)
    scene.follower.publish(late)
    scene.read()
    assert not scene.follower.is_waiting(type(decode_record(late)))
    assert scene.refused == [late]
    assert scene.lost == 1
    scene.follower.publish(late)
    assert scene.topic.read(0.0) == []
    first_block = next(entry for entry, block in enumerate(CHAIN.log) if _height_after(entry + 1) == 1)
    for record in CHAIN.log[index : first_block + 1]:
        scene.topic.append(b"", record)
    scene.read()
    assert scene.follower.state.height == 1
    scene.follower.publish(late)
    assert [entry.value for entry in scene.topic.read(0.0)] == [late]


def test_others_refused_records_wake_nobody() -> None:
    scene = Scene(CHAIN)
    _, late = find_refused()
    scene.topic.append(b"", late)
    scene.read()
    assert scene.refused == [late]
    assert scene.lost == 0


def _height_after(count: int) -> int:
    state = build_initial_state(CHAIN.genesis)
    for record in CHAIN.log[:count]:
        state = apply_record(state, record)
    return state.height


def test_nothing_is_caught_up_with_before_the_logs_end_is_known() -> None:
    follower = LiveFollower(MemoryBroker().open("log"), build_initial_state(CHAIN.genesis), HandScheduler())
    assert not follower.caught_up
    follower.expect({0: 0})
    assert follower.caught_up


def test_goes_on_from_a_state_and_its_offset() -> None:
    half = len(CHAIN.log) // 2
    scene = Scene(CHAIN)
    entries = [Entry(0, index, record) for index, record in enumerate(CHAIN.log)]
    scene.follower.take(entries[:half])
    other = LiveFollower(scene.topic, scene.follower.state, scene.scheduler, scene.follower.offset)
    other.expect({0: len(entries)})
    other.take(entries[half:])
    assert other.caught_up
    assert fingerprint(other.state) == fingerprint(CHAIN.state)


def test_a_log_that_takes_nothing_now_holds_nobody_up_and_is_tried_again() -> None:
    broker = MemoryBroker()
    outbox = Outbox(broker.open("log"))
    scheduler = HandScheduler()
    follower = LiveFollower(outbox, build_initial_state(CHAIN.genesis), scheduler)
    lost: list[int] = []
    follower.on_lost = lambda: lost.append(scheduler.now_ms)
    broker.set_away(True)
    assert follower.publish(CHAIN.log[0]) is False
    assert scheduler.run_until(lambda: bool(scheduler._timers)), "the failure is told on the loop"
    assert lost == []
    broker.set_away(False)
    scheduler.advance(RESEND_MS)
    assert len(lost) == 1
    follower.publish(CHAIN.log[0])
    outbox.stop(10)
    follower.take(broker.open("log").read(0.0))
    assert follower.state.core.position == 1
