"""One step of a load test: scale, wait until the chain has caught up, warm up, measure, drain, check."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from flobc.adapters.grpc import LedgerClient
from flobc.adapters.kafka import KafkaTopic
from flobc.composition.archive.ledger import LedgerArchive
from flobc.composition.scaling.census import BlockBook, Fate, UpdateCensus
from flobc.composition.scaling.measurement import Measurement
from flobc.composition.scaling.plan import LoadPlan, Step, Window
from flobc.composition.scaling.targets import Say, Site
from flobc.composition.scaling.waiting import scale, wait_until
from flobc.composition.scaling.watching import BlockWatch, SeenBlock
from flobc.composition.services.connections import find_kafka, find_tls
from flobc.composition.services.parts import get_topic_names
from flobc.composition.verification import verify_chain
from flobc.composition.wording import show_count
from flobc.errors import DataError, TransientError, VerificationError
from flobc.ports.scaler import Usage
from flobc.protocol.chain.block import compute_header_digest
from flobc.protocol.params import Genesis

CAUGHT_UP_BLOCKS = 3
"""In so many blocks every trainer that is to be there has an update decided, and nobody else."""
MIN_ROUNDS = 2
CENSUS_S = 60.0


@contextmanager
def open_bench(site: Site, plan: LoadPlan, say: Say) -> Iterator[Bench]:
    """What measures a site, following its chain until the end. **Raises** TransientError, DataError."""
    tls = find_tls()
    ledger = LedgerClient(site.ledgers, tls)
    with ExitStack() as closing:
        closing.callback(ledger.close)
        genesis = ledger.get_genesis()
        if genesis is None:
            raise DataError(f"The ledgers at {', '.join(site.ledgers)} know no genesis; ask others.")
        watch = closing.enter_context(BlockWatch(LedgerClient(site.ledgers, tls)))
        census = None
        if site.kafka is not None:
            topic = KafkaTopic(find_kafka(site.kafka, "load"), get_topic_names(genesis)[1])
            census = closing.enter_context(UpdateCensus(topic, lambda: watch.height, from_start=site.is_new))
        yield Bench(site, plan, say, ledger, genesis, watch, census)


class Bench:
    """Measures the steps of one site, one after the other."""

    def __init__(
        self,
        site: Site,
        plan: LoadPlan,
        say: Say,
        ledger: LedgerClient,
        genesis: Genesis,
        watch: BlockWatch,
        census: UpdateCensus | None,
    ) -> None:
        self._site, self._plan, self._say = site, plan, say
        self._ledger, self._watch, self._census = ledger, watch, census
        self._book = BlockBook(genesis)
        self._silence_s = plan.ready_timeout_s + genesis.params.sync.period_ms / 1000

    def measure(self, step: Step, repeat: int) -> Measurement:
        """Measure one step.

        **Raises** VerificationError when an invariant does not hold, TransientError when the chain stands still.
        """
        scale(self._site.scaler, {"trainer": step.trainers, "validator": step.validators}, self._plan.ready_timeout_s)
        self._catch_up(step)
        self._say(f"{step.name}: warming up ...")
        self._pass(self._plan.warm_up)
        self._say(f"{step.name}: measuring ...")
        before = self._site.meter.read()
        blocks = self._pass(self._plan.measure)
        after = self._site.meter.read()
        self._say(f"{step.name}: draining ...")
        scale(self._site.scaler, {"trainer": 0}, self._plan.ready_timeout_s)
        self._watch.wait_for_silence(self._plan.drain.quiet_s, self._plan.drain.timeout_s)
        checks = self._check()
        return self._summarise(step, repeat, blocks, (before, after), checks)

    def _catch_up(self, step: Step) -> None:
        """Wait until the newest blocks decide updates of as many trainers as there are to be."""
        self._say(f"{step.name}: waiting until all take part ...")

        def is_so(blocks: Sequence[SeenBlock]) -> bool:
            if not blocks:
                return False
            self._read_blocks(blocks[-1].height)
            return len(self._book.list_trainers(self._book.height - CAUGHT_UP_BLOCKS + 1, self._book.height)) == (
                step.trainers
            )

        what = f"updates of {show_count(step.trainers, 'trainer')} and nobody else"
        self._watch.wait(is_so, what, self._silence_s, self._plan.ready_timeout_s)

    def _pass(self, window: Window) -> tuple[SeenBlock, ...]:
        """Let time or rounds pass from one block to another, and return all blocks from the one to the other."""
        first = self._watch.height + 1
        rounds = max(MIN_ROUNDS, window.rounds or 0)

        def is_so(blocks: Sequence[SeenBlock]) -> bool:
            done = len(blocks) > rounds
            return done and blocks[-1].at_s - blocks[0].at_s >= (window.seconds or 0)

        self._watch.wait(is_so, "the rounds of a step", self._silence_s)
        return self._watch.list_blocks(first)

    def _read_blocks(self, last: int) -> None:
        while self._book.height < last:
            block = self._ledger.get_block(self._book.height + 1)
            if block is None:
                raise TransientError(f"No ledger has block {self._book.height + 1} now; look at the ledgers.", 1.0)
            self._book.add(block)

    def _check(self) -> dict[str, str]:
        """Look at everything that must hold after a step. **Raises** VerificationError."""
        height = self._watch.height
        self._read_blocks(height)
        archive = LedgerArchive(self._site.ledgers, find_tls())
        try:
            report = verify_chain(archive, full=False)
        finally:
            archive.close()
        return {
            "chain": f"{show_count(report.blocks_checked, 'block')} verified by certificates and bodies",
            "heights": self._check_heads(height),
            "updates": self._check_updates(),
        }

    def _check_heads(self, height: int) -> str:
        """No ledger may have gone back, or have another head. **Raises** VerificationError."""
        seen = {block.height: block.digest for block in self._watch.list_blocks(0)}
        for address in self._site.ledgers:
            wait_until(
                functools.partial(_is_at, address, height, seen), f"{address} to be at height {height}", CENSUS_S
            )
        return f"grew by one each, up to {height}, the same head at {len(self._site.ledgers)} ledger(s)"

    def _check_updates(self) -> str:
        census = self._census
        if census is None:
            return "none decided twice; lost ones were not looked for, as Kafka is not reached from here"
        census.catch_up(CENSUS_S)
        self._read_blocks(self._watch.height)
        fates = census.count_fates(self._book)
        if fates[Fate.LOST]:
            raise VerificationError(
                self._book.height,
                "ROUND-12",
                f"{fates[Fate.LOST]} updates lie whole in the topic and were in time, but no block decides them",
            )
        words = ", ".join(f"{fates[fate]} {fate.value}" for fate in Fate)
        return f"{sum(fates.values())} published: {words}; none decided twice"

    def _summarise(
        self, step: Step, repeat: int, blocks: Sequence[SeenBlock], usage: tuple[Usage, Usage], checks: dict[str, str]
    ) -> Measurement:
        first, last = blocks[0], blocks[-1]
        return Measurement(
            trainers=step.trainers,
            validators=step.validators,
            repeat=repeat,
            seconds=last.at_s - first.at_s,
            decided=sum(block.decided for block in blocks[1:]),
            accepted=self._book.count_accepted(first.height + 1, last.height),
            round_s=tuple(later.at_s - earlier.at_s for earlier, later in itertools.pairwise(blocks)),
            cores=compute_cores(*usage),
            machine_share=compute_machine_share(*usage),
            checks=checks,
        )


def _is_at(address: str, height: int, seen: dict[int, bytes]) -> bool:
    """Return whether a ledger has come to a height. **Raises** VerificationError for another head than was followed."""
    client = LedgerClient((address,), find_tls())
    try:
        head = client.get_head()
    finally:
        client.close()
    if head is None or head.height < height:
        return height == 0
    digest = compute_header_digest(head.header)
    if seen.get(head.height, digest) != digest:
        raise VerificationError(head.height, "CHAIN-6", f"the ledger {address} has another head than was followed")
    return True


def compute_cores(before: Usage, after: Usage) -> dict[str, float]:
    """Return how many processors each role has used between two readings."""
    seconds = after.at_s - before.at_s
    if seconds <= 0:
        return {}
    return {role: max(0.0, (used - before.cpu_s.get(role, 0.0)) / seconds) for role, used in after.cpu_s.items()}


def compute_machine_share(before: Usage, after: Usage) -> float | None:
    """Return the busiest machine's share of its processors in use; None where no machine was read."""
    seconds = after.at_s - before.at_s
    shares = [
        (after.machine_s[name] - before.machine_s[name]) / (seconds * after.cores[name])
        for name in after.machine_s
        if name in before.machine_s and seconds > 0 and after.cores.get(name)
    ]
    return max(shares, default=None)
