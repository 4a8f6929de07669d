"""When which node starts and ends: the scenario's events, and crashes drawn from its rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flobc.composition.settings import RunSettings
from flobc.ports.scheduler import Scheduler
from flobc.simulation.checking import list_nodes
from flobc.simulation.distributions import Exponential, draw
from flobc.simulation.network import Node, Span
from flobc.simulation.scenario import RateScenario, Scenario


class Churn:
    """Starts and ends nodes on a clock; ``start`` and ``end`` do nothing to a node that runs or does not already."""

    def __init__(
        self, scenario: Scenario, settings: RunSettings, start: Callable[[Node], None], end: Callable[[Node], None]
    ) -> None:
        self._scenario = scenario
        self._settings = settings
        self._start = start
        self._end = end

    def plan(self, clock: Scheduler) -> None:
        """Plan everything that will happen."""
        for index, event in enumerate(self._scenario.churn.events):
            act = self._start if event.what in ("join", "return") else self._end
            for role, number in list_nodes(event, index, self._settings):
                _plan(clock, event.at, act, Node(role, number))
        for index, rate in enumerate(self._scenario.churn.rates):
            for node in self._list_rated(index, rate):
                self._plan_crash(clock, index, rate, node, 0)

    def _plan_crash(self, clock: Scheduler, index: int, rate: RateScenario, node: Node, turn: int) -> None:
        seed = self._settings.seed

        def crash() -> None:
            self._end(node)
            if rate.back_after is not None:
                pause_ms = draw(Exponential(rate.back_after), seed, "back after", index, str(node), turn)
                clock.call_later(pause_ms, come_back)

        def come_back() -> None:
            self._start(node)
            self._plan_crash(clock, index, rate, node, turn + 1)

        clock.call_later(max(1, draw(Exponential(rate.crash_every), seed, "crash", index, str(node), turn)), crash)

    def _list_rated(self, index: int, rate: RateScenario) -> Iterator[Node]:
        seed, settings = self._settings.seed, self._settings
        for role, members, count in (
            ("trainer", rate.trainers, settings.trainers),
            ("validator", rate.validators, settings.validators),
        ):
            for number in members.choose(count, seed, "rate", index, role):
                yield Node(role, number)


def _plan(clock: Scheduler, at_ms: int, act: Callable[[Node], None], node: Node) -> None:
    clock.call_later(at_ms, lambda: act(node))


def list_joiners(scenario: Scenario, settings: RunSettings) -> frozenset[Node]:
    """Return the nodes that do not run when the world begins."""
    return frozenset(
        Node(role, number)
        for index, event in enumerate(scenario.churn.events)
        if event.what == "join"
        for role, number in list_nodes(event, index, settings)
    )


def list_cuts(scenario: Scenario, settings: RunSettings) -> dict[Node, tuple[Span, ...]]:
    """Return each node's spans without a way to the servers, in order of time."""
    cuts: dict[Node, list[Span]] = {}
    for index, partition in enumerate(scenario.partitions):
        for role, members, count in (
            ("trainer", partition.trainers, settings.trainers),
            ("validator", partition.validators, settings.validators),
        ):
            for number in members.choose(count, settings.seed, "partition", index, role):
                cuts.setdefault(Node(role, number), []).append((partition.from_, partition.to))
    return {node: tuple(sorted(spans)) for node, spans in cuts.items()}
