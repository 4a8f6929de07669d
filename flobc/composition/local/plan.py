"""Which processes make a system, where each listens, and which of them run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import write_atomically
from flobc.composition.local.process import DetachedProcess
from flobc.errors import DataError

MARKER = "system.json"
ROLES = ("ledger", "validator", "trainer", "explorer")
"""In the order of starting; stopping goes the other way."""


@dataclass(frozen=True)
class Plan:
    """Which services there are and where each listens; addresses outlive a restart."""

    kafka: str
    redis: str
    ledgers: tuple[str, ...]
    validators: tuple[str, ...]
    trainers: int
    trainers_per_process: int = 1
    explorer: str = ""
    traces: bool = False

    def list_nodes(self) -> list[tuple[str, int]]:
        """Return role and index of every process, in the order of starting."""
        processes = -(-self.trainers // self.trainers_per_process)
        counts = {"ledger": len(self.ledgers), "validator": len(self.validators), "trainer": processes}
        counts["explorer"] = int(bool(self.explorer))
        return [(role, index) for role in ROLES for index in range(counts[role])]


def is_system_directory(root: Path) -> bool:
    """Return whether a system was started there."""
    return (root / MARKER).is_file()


def save_plan(root: Path, plan: Plan) -> None:
    """Write which processes a system has."""
    write_atomically(root / MARKER, [json.dumps(dataclasses.asdict(plan), indent=2).encode()])


def load_plan(root: Path) -> Plan:
    """Return a system's plan. **Raises** DataError when none was started there or its file is damaged."""
    try:
        data = json.loads((root / MARKER).read_bytes())
        lists = {name: tuple(map(str, data[name])) for name in ("ledgers", "validators")}
        together = int(data.get("trainers_per_process", 1))
        if together < 1:
            raise ValueError(f"trainers_per_process is {together}")
        trainers = int(data["trainers"])
        explorer, traces = str(data.get("explorer", "")), bool(data.get("traces", False))
        return Plan(
            str(data["kafka"]),
            str(data["redis"]),
            trainers=trainers,
            trainers_per_process=together,
            explorer=explorer,
            traces=traces,
            **lists,
        )
    except FileNotFoundError as error:
        raise DataError(f"No system was started in {root}; start one with: flobc up --dir {root}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The file {root / MARKER} is damaged ({error}); restore it from a copy.") from error


def get_process(root: Path, role: str, index: int) -> DetachedProcess:
    """Return the process of a service, running or not."""
    name = f"{role}-{index}"
    directory = root / "nodes" / name
    return DetachedProcess(name, directory / "pid", directory / "log")


def get_server(root: Path, name: str) -> DetachedProcess:
    """Return the process of ``kafka`` or ``redis``, running or not."""
    return DetachedProcess(name.capitalize(), root / name / "pid", root / name / f"{name}.log")


def list_processes(root: Path) -> dict[str, int | None]:
    """Return each service's process number, None for one that does not run."""
    plan = load_plan(root)
    found = {name: get_server(root, name).pid for name in ("kafka", "redis")}
    return found | {f"{role}-{index}": get_process(root, role, index).pid for role, index in plan.list_nodes()}
