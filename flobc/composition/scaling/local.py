"""The port Scaler over the processes of a system on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from flobc.adapters.filesystem.keys import create_key_file
from flobc.adapters.grpc import is_serving
from flobc.composition.local.plan import Plan, get_process, load_plan, save_plan
from flobc.composition.local.system import INVITATION, STOP_S, start_node
from flobc.composition.run_directory import load_genesis, load_settings
from flobc.composition.wording import show_count
from flobc.errors import FlobcError, UsageError
from flobc.ports.scaler import ScaledRole
from flobc.protocol.params import get_quorum


class LocalScaler:
    """A ``Scaler`` of what ``flobc up`` started in ``root``.

    A trainer of the genesis is stopped and started again at will. A trainer beyond those gets a key of its own and
    the shard of a member, and asks to join. Validators are members for a chain's life: here they only stop and
    start again.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self._root = root
        self._say = say
        self._genesis = load_genesis(root)
        self._settings = load_settings(root, self._genesis.params)

    def get_replicas(self, role: ScaledRole) -> int:
        """Return how many trainers are to run, or how many validators do."""
        plan = load_plan(self._root)
        if role == "trainer":
            return plan.trainers
        return sum(get_process(self._root, role, index).pid is not None for index in range(len(plan.validators)))

    def validate_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Check that so many nodes of a role can run. **Raises** UsageError."""
        if role == "trainer":
            self._validate_trainers(load_plan(self._root), replicas)
        else:
            self._validate_validators(replicas)

    def set_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Start or stop processes. **Raises** UsageError."""
        self.validate_replicas(role, replicas)
        if role == "trainer":
            self._set_trainers(replicas)
        else:
            self._set_validators(replicas)

    def is_ready(self, role: ScaledRole) -> bool:
        """Return whether the processes that are to run do, and validators serve. **Raises** FlobcError if one ended."""
        plan = load_plan(self._root)
        if role == "validator":
            running = [
                plan.validators[index]
                for index in range(len(plan.validators))
                if get_process(self._root, role, index).pid is not None
            ]
            return all(map(is_serving, running))
        for index in _list_trainers(plan):
            process = get_process(self._root, role, index)
            if process.pid is None:
                raise FlobcError(
                    f"{process.name} ended at once; its log {process.log} ends with: {process.read_last_lines()}"
                )
        return True

    def _validate_trainers(self, plan: Plan, replicas: int) -> None:
        members, admission = len(self._genesis.trainers), self._genesis.params.admission
        if replicas < 0:
            raise UsageError(f"There cannot be {replicas} trainers; give a number from 0 on.")
        together = plan.trainers_per_process
        if together > 1 and (replicas > members or (replicas % together and replicas != members)):
            raise UsageError(
                f"Each trainer process in {self._root} hosts {together} trainers, so there cannot be {replicas}; "
                f"give a multiple of {together}, or all {members}, or start a system without --trainers-per-process."
            )
        if replicas <= members:
            return
        if admission.mode == "allowlist":
            raise UsageError(
                f"The chain in {self._root} admits the {show_count(members, 'trainer')} of its genesis alone, so there "
                f"cannot be {replicas}; begin one with more (flobc up --dir DIR --trainers {replicas}) and scale it "
                "down, or one that others may join (flobc genesis new --dir DIR --admission open)."
            )
        if admission.max_trainers < replicas:
            raise UsageError(
                f"The chain in {self._root} takes {show_count(admission.max_trainers, 'trainer')} at most, not "
                f"{replicas}; that is fixed for its life."
            )
        invitation = self._root / INVITATION
        if admission.mode == "invite" and not invitation.is_file():
            raise UsageError(
                f"The chain in {self._root} admits by invitation beyond the {show_count(members, 'trainer')} of its "
                f"genesis, and there is none for new ones; sign it with: flobc invite --genesis {self._root} --key "
                f"OPERATOR --max-joins {replicas - members} --until-height H --out {invitation}"
            )

    def _validate_validators(self, replicas: int) -> None:
        members = len(self._genesis.validators)
        quorum = get_quorum(members)
        if replicas > members:
            raise UsageError(
                f"The chain in {self._root} has {show_count(members, 'validator')} for its life, so there cannot be "
                f"{replicas}; a successor may have more: flobc scale --validators {replicas} --dir {self._root} "
                "--successor NEW (docs/succession.md)."
            )
        if replicas < quorum:
            raise UsageError(
                f"Of the {members} validators in {self._root} {quorum} must agree on every block, so with {replicas} "
                f"the chain would stop; leave {quorum} at least."
            )

    def _set_trainers(self, replicas: int) -> None:
        plan = load_plan(self._root)
        scaled = dataclasses.replace(plan, trainers=replicas)
        wanted = set(_list_trainers(scaled))
        surplus = [get_process(self._root, "trainer", index) for index in _list_trainers(plan) if index not in wanted]
        # the plan goes first: ``flobc up`` and ``flobc down`` after an interruption know what was wanted
        save_plan(self._root, plan if replicas < plan.trainers else scaled)
        for process in surplus:
            self._say(f"{process.name} stops")
            process.ask_to_end()
        for process in surplus:
            process.stop(STOP_S)
        save_plan(self._root, scaled)
        for index in sorted(wanted):
            key = self._root / "nodes" / f"trainer-{index}" / "key"
            if scaled.trainers_per_process == 1 and not key.exists():
                key.parent.mkdir(parents=True, exist_ok=True)
                create_key_file(key)
            self._start(scaled, "trainer", index)

    def _set_validators(self, replicas: int) -> None:
        plan = load_plan(self._root)
        for index in reversed(range(replicas, len(plan.validators))):
            process = get_process(self._root, "validator", index)
            if process.pid is not None:
                self._say(f"{process.name} stops")
                process.stop(STOP_S)
        for index in range(replicas):
            self._start(plan, "validator", index)

    def _start(self, plan: Plan, role: ScaledRole, index: int) -> None:
        if get_process(self._root, role, index).pid is None:
            self._say(f"{role}-{index} starts")
            start_node(self._root, self._settings, plan, role, index)


def _list_trainers(plan: Plan) -> list[int]:
    """The numbers of a plan's trainer processes."""
    return [index for role, index in plan.list_nodes() if role == "trainer"]
