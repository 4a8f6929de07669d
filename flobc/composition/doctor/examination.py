"""Which checks there are for what was named, in the order in which a person would look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flobc.composition.doctor.findings import Finding
from flobc.composition.doctor.machine import check_disk, check_keys, check_processes, check_versions
from flobc.composition.doctor.servers import check_heads, check_kafka, check_redis, check_serving
from flobc.composition.local.plan import is_system_directory, load_plan
from flobc.composition.run_directory import load_genesis
from flobc.protocol.params import Genesis


@dataclass(frozen=True)
class Subject:
    """What is examined; whatever is left out is not looked at."""

    root: Path | None = None
    genesis: Genesis | None = None
    kafka: str | None = None
    redis: str | None = None
    ledgers: tuple[str, ...] = ()
    validators: tuple[str, ...] = ()


def find_subject(root: Path) -> Subject:
    """Return all that a directory names. **Raises** DataError when there is no chain in it."""
    genesis = load_genesis(root)
    if not is_system_directory(root):
        return Subject(root, genesis)
    plan = load_plan(root)
    return Subject(root, genesis, plan.kafka, plan.redis, plan.ledgers, plan.validators)


def examine(subject: Subject) -> Iterator[Finding]:
    """Yield every finding; an examination that fails is a finding too."""
    yield from check_versions(subject.genesis)
    if subject.root is not None:
        yield from check_disk(subject.root)
        yield from check_keys(subject.root, subject.genesis)
        if is_system_directory(subject.root):
            yield from check_processes(subject.root)
    if subject.kafka is not None:
        yield from check_kafka(subject.kafka, subject.genesis)
    if subject.redis is not None:
        yield from check_redis(subject.redis, subject.genesis)
    if subject.validators:
        yield from check_serving("validator", subject.validators)
    if subject.ledgers:
        yield from check_serving("ledger", subject.ledgers)
        yield from check_heads(subject.ledgers, subject.genesis)
