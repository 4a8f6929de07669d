"""What a chain begins with, sealed or still a draft, described so that parties can compare it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flobc.composition.organisations.draft_file import is_draft, load_draft
from flobc.composition.services.parts import load_genesis_file
from flobc.errors import DataError
from flobc.protocol.params import ChainParams, get_chain_id, get_fault_tolerance, get_quorum, validate_genesis


@dataclass(frozen=True)
class Beginning:
    """Of a draft ``chain`` is None: it has no id before its last member is in."""

    chain: bytes | None
    name: str
    task: str
    params: ChainParams
    initial_model: bytes
    validators: tuple[bytes, ...]
    trainers: tuple[bytes, ...]

    def list_members(self) -> list[tuple[str, bytes]]:
        """Return role and key of everybody, validators first."""
        operator = self.params.admission.operator
        members = [("validator", key) for key in self.validators] + [("trainer", key) for key in self.trainers]
        return members + ([] if operator is None else [("operator", operator)])

    def find_role(self, key: bytes) -> str | None:
        """Return the roles of a key, or None when it is no member's."""
        return " and ".join(role for role, member in self.list_members() if member == key) or None


def load_beginning(path: Path) -> Beginning:
    """Return what a directory, a genesis file or a draft begins with. **Raises** DataError, UsageError."""
    file = path / "genesis" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"There is no {file}; give a chain's directory, its genesis, or a draft.")
    if is_draft(file):
        draft = load_draft(file)
        settings = draft.settings
        return Beginning(
            None,
            settings.task,
            settings.task,
            settings.params,
            draft.initial_model,
            draft.validators,
            draft.trainers,
        )
    genesis = load_genesis_file(file)
    validate_genesis(genesis)
    return Beginning(
        get_chain_id(genesis),
        genesis.name,
        genesis.task,
        genesis.params,
        genesis.initial_model,
        genesis.validators,
        genesis.trainers,
    )


def describe_beginning(beginning: Beginning) -> dict[str, object]:
    """Return what parties compare: first what tells chains apart, then the params that people ask about."""
    params, validators = beginning.params, beginning.validators
    count = len(validators)
    operator = params.admission.operator
    return {
        "chain": None if beginning.chain is None else beginning.chain.hex(),
        "sealed": beginning.chain is not None,
        "name": beginning.name,
        "task": beginning.task,
        "first_model": beginning.initial_model.hex(),
        "validator_count": count,
        "trainer_count": len(beginning.trainers),
        "quorum": get_quorum(count) if count else None,
        "fault_tolerance": get_fault_tolerance(count) if count else None,
        "admission": params.admission.mode,
        "operator": None if operator is None else operator.hex(),
        "max_trainers": params.admission.max_trainers,
        "sync": params.sync.scheme,
        "period_ms": params.sync.period_ms,
        "max_staleness": params.sync.max_staleness,
        "quota": params.sync.quota,
        "trust": params.trust.policy,
        "aggregator": params.aggregation.rule,
        "codec": params.codec,
        "score_metric": params.scoring.metric,
        "validators": [key.hex() for key in validators],
        "trainers": [key.hex() for key in beginning.trainers],
    }
