"""What a load plan is run on: systems of its own, one that runs already, or a release on Kubernetes."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flobc.composition.local.plan import get_server, is_system_directory, load_plan
from flobc.composition.local.system import STOP_S, create_system, start_system, stop_system
from flobc.composition.run_directory import load_genesis
from flobc.composition.scaling.local import LocalScaler
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.composition.scaling.processes import ProcessMeter
from flobc.composition.scaling.waiting import wait_until
from flobc.composition.settings import RunSettings
from flobc.composition.wording import show_count
from flobc.errors import FlobcError, UsageError
from flobc.ports.scaler import SCALED_ROLES, ScaledRole, Scaler, UsageMeter

Say = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """A running system that is measured: what scales it, what reads its usage, and where it is reached.

    ``is_new`` says that its chain began with this load test. Without ``kafka`` no update can be missed.
    """

    scaler: Scaler
    meter: UsageMeter
    ledgers: tuple[str, ...]
    kafka: str | None
    is_new: bool


class Target(Protocol):
    """Opens the sites that a plan's steps are measured on."""

    @property
    def name(self) -> str:
        """What is measured, for people; measurements of two names are not mixed."""
        ...

    def validate(self, steps: Sequence[Step]) -> None:
        """Check that every step can be had, before any is begun. **Raises** UsageError."""
        ...

    def name_site(self, step: Step) -> str:
        """Return on which site a step is measured: steps with one name share a site that is open for all of them."""
        ...

    def open(self, step: Step) -> AbstractContextManager[Site]:
        """The site of a step, in the form that this one needs; in the end everything is as it was before."""
        ...


@contextmanager
def restoring(scaler: Scaler, say: Say, timeout_s: float) -> Iterator[None]:
    """Set the replicas back in the end to what they were; try again while that fails for the moment."""
    before: Mapping[ScaledRole, int] = {role: scaler.get_replicas(role) for role in SCALED_ROLES}
    try:
        yield
    finally:
        changed: set[ScaledRole] = set()

        def set_back() -> bool:
            for role, replicas in before.items():
                if scaler.get_replicas(role) != replicas:
                    say(f"Restoring {show_count(replicas, role)} ...")
                    changed.add(role)
                    scaler.set_replicas(role, replicas)
            return all(scaler.is_ready(role) for role in changed)

        wait_until(set_back, "the replicas to be what they were", timeout_s)


class OwnSystems:
    """Starts a system in ``folder`` for each measurement: a chain has its validators for its life.

    Its trainers could be scaled, but a step that begins with all of them as members does not depend on the steps
    before it. ``settings`` are those of every system but for the numbers of its members.
    """

    name = "systems of its own on this machine"

    def __init__(self, folder: Path, settings: RunSettings, ledgers: int, say: Say, *, keep: bool) -> None:
        self._folder, self._settings, self._ledgers = folder, settings, ledgers
        self._say, self._keep = say, keep
        self._started = 0

    def validate(self, steps: Sequence[Step]) -> None:
        """Nothing can be in the way: each system is made for its steps."""

    def name_site(self, step: Step) -> str:
        """Return the mix: each has a system of its own."""
        return step.name

    @contextmanager
    def open(self, step: Step) -> Iterator[Site]:
        """Start a system whose members are as many as the step asks for, and stop it in the end."""
        self._started += 1
        root = self._folder / f"system-{self._started}"
        members = dataclasses.replace(self._settings, trainers=step.trainers, validators=step.validators)
        create_system(root, members, self._ledgers)
        keep = self._keep
        try:
            start_system(root, self._ledgers, self._say)
            yield build_local_site(root, self._say, is_new=True)
        except FlobcError:
            self._say(f"The logs of this system's services are kept in {root / 'nodes'}.")
            keep = True
            raise
        finally:
            self._stop(root)
            if not keep:
                shutil.rmtree(root, ignore_errors=True)

    def _stop(self, root: Path) -> None:
        """Stop what runs, also of a system that was interrupted while it started."""
        if is_system_directory(root):
            stop_system(root, self._say)
        for name in ("redis", "kafka"):
            get_server(root, name).stop(STOP_S)


class RunningSystem:
    """The system that ``flobc up`` started in ``root``: its trainers are scaled, its validators stay."""

    def __init__(self, root: Path, plan: LoadPlan, say: Say) -> None:
        self.name = f"the system in {root}"
        self._root, self._plan, self._say = root, plan, say

    def validate(self, steps: Sequence[Step]) -> None:
        """Check that every step has the system's validators and trainers it can have. **Raises** UsageError."""
        scaler, members = LocalScaler(self._root), len(load_genesis(self._root).validators)
        load_plan(self._root)
        for step in steps:
            if step.validators != members:
                raise UsageError(
                    f"The step {step.name} asks for {show_count(step.validators, 'validator')}, but the system in "
                    f"{self._root} has {members} for its life; leave --dir out, and a system is started for each "
                    "number of validators."
                )
            scaler.validate_replicas("trainer", step.trainers)

    def name_site(self, step: Step) -> str:
        """Return the system's name, whatever the step."""
        del step
        return self.name

    @contextmanager
    def open(self, step: Step) -> Iterator[Site]:
        """The system itself; its trainers are restored in the end."""
        del step
        site = build_local_site(self._root, self._say, is_new=False)
        with restoring(site.scaler, self._say, self._plan.ready_timeout_s):
            yield site


def build_local_site(root: Path, say: Say, *, is_new: bool) -> Site:
    """Return the site of a system on this machine."""
    plan = load_plan(root)
    return Site(LocalScaler(root, say), ProcessMeter(root), plan.ledgers, plan.kafka, is_new)
