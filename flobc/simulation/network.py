"""When a message arrives: latency, bandwidth, loss, duplication, reordering and partitions, all drawn from the seed.

Every message passes the servers (Kafka, ledgers), so a way is a node's ``send`` to them or its ``receive`` from
them. Clients send again what is lost and keep the order of one key's records, as Kafka's do, so nothing is lost for
good and what is held back holds back what follows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from flobc.protocol.bounds import PPM
from flobc.simulation.distributions import draw, draw_share, is_drawn
from flobc.simulation.scenario import LinkScenario, NetworkScenario

Span = tuple[int, int]
_MAX_TRIES = 1_000


@dataclass(frozen=True)
class Node:
    """A node's place in the network: its role's link, and its number."""

    role: str
    index: int

    def __str__(self) -> str:
        return f"{self.role} {self.index}"


@dataclass
class _Line:
    """One direction of a node's link: until when it is busy, and when the last message of each key arrived."""

    latency_ms: int
    bytes_per_s: int
    busy_until_ms: int = 0
    last_ms: dict[object, int] = field(default_factory=dict)


class Network:
    """Every node's link; ``cuts`` are the spans of time in which a node cannot reach the servers."""

    def __init__(self, scenario: NetworkScenario, seed: int, cuts: Mapping[Node, tuple[Span, ...]]) -> None:
        self._scenario = scenario
        self._seed = seed
        self._cuts = cuts
        self._lines: dict[tuple[Node, str], _Line] = {}
        self.bytes: defaultdict[str, int] = defaultdict(int)
        """How many bytes each role sent and received, those that had to be sent again not counted."""

    def send(self, node: Node, now_ms: int, size_bytes: int, key: object, *labels: object) -> int:
        """Return when a message that ``node`` sends now is at the servers."""
        return self._pass(node, "up", now_ms, size_bytes, key, labels)

    def receive(self, node: Node, now_ms: int, size_bytes: int, key: object, *labels: object) -> int:
        """Return when a message that is at the servers now is at ``node``."""
        return self._pass(node, "down", now_ms, size_bytes, key, labels)

    def is_doubled(self, *labels: object) -> bool:
        """Return whether this message enters its topic twice."""
        return is_drawn(self._scenario.duplication, self._seed, "doubled", *labels)

    def forget(self, node: Node) -> None:
        """Let the messages that are on ``node``'s link hold back nothing more: their connection is gone."""
        for direction in ("up", "down"):
            self._lines.pop((node, direction), None)

    def _pass(
        self, node: Node, direction: str, now_ms: int, size_bytes: int, key: object, labels: tuple[object, ...]
    ) -> int:
        line = self._get_line(node, direction)
        self.bytes[f"{node.role} {direction}"] += size_bytes
        start_ms = self._wait(node, max(now_ms, line.busy_until_ms))
        line.busy_until_ms = start_ms + size_bytes * 1_000 // line.bytes_per_s
        due_ms = line.busy_until_ms + self._draw_delay(node, direction, line.latency_ms, labels)
        due_ms = max(self._wait(node, due_ms), line.last_ms.get(key, 0))
        line.last_ms[key] = due_ms
        return due_ms

    def _draw_delay(self, node: Node, direction: str, latency_ms: int, labels: tuple[object, ...]) -> int:
        scenario, seed = self._scenario, self._seed
        where = (node.role, node.index, direction, *labels)
        jitter_ppm = self._get_link(node).jitter
        delay_ms = latency_ms
        if jitter_ppm:
            delay_ms += round(latency_ms * jitter_ppm * (2 * draw_share(seed, "jitter", *where) - 1) / PPM)
        if is_drawn(scenario.reordering, seed, "held back", *where):
            delay_ms += round(scenario.held_back * draw_share(seed, "how long", *where))
        for attempt in range(_MAX_TRIES):
            if not is_drawn(scenario.loss, seed, "lost", attempt, *where):
                break
            delay_ms += scenario.retry
        return delay_ms

    def _wait(self, node: Node, time_ms: int) -> int:
        """Return ``time_ms``, or the end of the partition that ``node`` is in then."""
        for start_ms, end_ms in self._cuts.get(node, ()):
            if start_ms <= time_ms < end_ms:
                time_ms = end_ms
        return time_ms

    def _get_line(self, node: Node, direction: str) -> _Line:
        line = self._lines.get((node, direction))
        if line is None:
            link, seed = self._get_link(node), self._seed
            line = self._lines[node, direction] = _Line(
                max(0, draw(link.latency, seed, "latency", node.role, node.index)),
                max(1, draw(getattr(link, direction), seed, "bandwidth", node.role, node.index, direction)),
            )
        return line

    def _get_link(self, node: Node) -> LinkScenario:
        return self._scenario.trainers if node.role == "trainer" else self._scenario.validators
