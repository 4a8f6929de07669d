"""What a finished run says of itself, to people and to programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flobc.cli.output import print_fields, print_table, show_share
from flobc.composition.embedded import build_attacks
from flobc.composition.genesis import derive_identity
from flobc.composition.reports import TrainerReport, build_trainer_reports
from flobc.composition.runner import RunResult
from flobc.composition.settings import RunSettings
from flobc.protocol.chain.block import compute_header_digest
from flobc.protocol.identity import short_id

TRAINER_TITLES = ("trainer", "key", "trust", "weight", "score", "outcome", "attack")


@dataclass(frozen=True)
class Summary:
    """A run's end: ``seconds`` of this process, ``trainers`` as of the last block."""

    settings: RunSettings
    result: RunResult
    directory: Path
    seconds: float
    trainers: tuple[TrainerReport, ...]

    @property
    def head(self) -> str:
        """The head block's digest in hex."""
        return compute_header_digest(self.result.state.head.header).hex()

    @property
    def accepted(self) -> int:
        """Updates accepted in all blocks."""
        return sum(len(block.accepted) for block in self.result.blocks)

    @property
    def rejected(self) -> int:
        """Updates rejected in all blocks."""
        return sum(len(block.rejected) for block in self.result.blocks)


def build_summary(settings: RunSettings, result: RunResult, directory: Path, seconds: float) -> Summary:
    """Return the summary of a run whose chain was verified."""
    keys = {derive_identity(settings.seed, "trainer", index).public_key: index for index in range(settings.trainers)}
    attacks = build_attacks(settings)
    attackers = {key: attacks[index].name for key, index in keys.items() if index in attacks}
    return Summary(settings, result, directory, seconds, build_trainer_reports(result.state, keys, attackers))


def describe_summary(summary: Summary) -> dict[str, object]:
    """Return a run's end as JSON data."""
    return {
        "height": summary.result.state.height,
        "head": summary.head,
        "test_accuracy": summary.result.test_accuracy,
        "accuracy_by_height": {str(height): test.accuracy for height, test in summary.result.tests.items()},
        "accepted": summary.accepted,
        "rejected": summary.rejected,
        "trust": [
            {
                "trainer": trainer.index,
                "key": trainer.key.hex(),
                "trust": trainer.trust_share,
                "weight": trainer.weight_share,
                "score": trainer.score,
                "outcome": trainer.outcome,
                "attack": trainer.attack,
            }
            for trainer in summary.trainers
        ],
        "seconds": round(summary.seconds, 3),
        "directory": str(summary.directory),
        "verified": True,
        "seed": summary.settings.seed,
        "task": summary.settings.task,
    }


def print_summary(summary: Summary) -> None:
    """Print a run's end for people."""
    print_fields(
        (
            ("height", summary.result.state.height),
            ("head", summary.head),
            ("test accuracy", show_share(summary.result.test_accuracy)),
            ("verified", "yes: every certificate, and every step from the genesis to the head"),
            ("updates", f"{summary.accepted} accepted, {summary.rejected} rejected"),
            ("seed", summary.settings.seed),
            ("seconds", f"{summary.seconds:.1f}"),
            ("directory", summary.directory),
        )
    )
    print()
    print_table(TRAINER_TITLES, (describe_trainer(trainer) for trainer in summary.trainers))


def describe_trainer(trainer: TrainerReport) -> tuple[str, ...]:
    """Return a trainer's row under ``TRAINER_TITLES``."""
    return (
        str(trainer.index),
        short_id(trainer.key),
        show_share(trainer.trust_share),
        show_share(trainer.weight_share),
        show_share(trainer.score),
        trainer.outcome,
        trainer.attack or "-",
    )
