"""Where a round's time goes, from the stages that the services note in their logs."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flobc.composition.local.plan import get_process, load_plan
from flobc.protocol.params import get_quorum

LOGGER = "flobc.runtime.stages"


@dataclass(frozen=True)
class Stages:
    """Median seconds of each stage, in the order of a round, and their sum over the median round."""

    seconds: dict[str, float]
    explained: float


Times = dict[tuple[str, int], dict[str, list[float]]]


def read_stages(root: Path, first: int, last: int) -> Stages:
    """Return the stages of blocks ``first`` to ``last``: each ends when the last node that is needed has passed it."""
    plan = load_plan(root)
    times = _read_logs(root)
    quorum = get_quorum(len(plan.validators))

    def last_of_all(stage: str, height: int) -> float:
        return max(_last(times, stage, height))

    def quorums(stage: str, height: int) -> float:
        return sorted(_last(times, stage, height))[quorum - 1]

    def first_of_all(stage: str, height: int) -> float:
        return min(min(found) for found in times[stage, height].values())

    ends: dict[str, Callable[[int], float]] = {
        "block and model reach the trainers; training, encoding, hashing": lambda height: last_of_all("signed", height),
        "publishing through Kafka until all is acknowledged": lambda height: last_of_all("published", height),
        "a quorum has received and stored all updates": lambda height: quorums("received", height),
        "a quorum has scored them and voted": lambda height: quorums("voted", height),
        "the log closes the round": lambda height: first_of_all("closed", height),
        "a quorum has aggregated": lambda height: quorums("aggregated", height),
        "readys and seals through the log": lambda height: first_of_all("certified", height),
    }
    rows: dict[str, list[float]] = defaultdict(list)
    rounds = []
    for height in range(first, last + 1):
        try:
            start_s = first_of_all("certified", height - 1)
            points = [end(height) for end in ends.values()]
        except (ValueError, IndexError):
            continue  # a log lacks a line of this round
        rounds.append(points[-1] - start_s)
        # Stages overlap: what a later stage had reached already is no time of its own.
        for name, point in zip(ends, points, strict=True):
            rows[name].append(max(0.0, point - start_s))
            start_s = max(start_s, point)
    if not rounds:
        return Stages({}, 0.0)
    medians = {name: statistics.median(values) for name, values in rows.items()}
    return Stages(medians, sum(medians.values()) / statistics.median(rounds))


def _last(times: Times, stage: str, height: int) -> list[float]:
    """When each node passed a stage for the last time."""
    return [max(found) for found in times[stage, height].values()]


def _read_logs(root: Path) -> Times:
    times: Times = defaultdict(lambda: defaultdict(list))
    for role, index in load_plan(root).list_nodes():
        process = get_process(root, role, index)
        for line in process.log.read_text(errors="replace").splitlines():
            if LOGGER in line:
                entry = json.loads(line)
                at_s = datetime.fromisoformat(entry["time"].removesuffix("Z")).timestamp()
                times[entry["message"], entry["height"]][process.name].append(at_s)
    return times
