"""Repeat what the paper claims of learning: runs over several seeds, means with their confidence.

``decentralised`` compares a federation with one central trainer, ``noise`` the public demo's noisy
trainers with honest ones, ``attacks`` each attack with nobody attacking, ``sync`` the schemes' times to an
accuracy. Finished runs go into --out, one line each; with --resume an interrupted study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from flobc.cli.places import get_data_directory
from flobc.errors import FlobcError
from tests.bench import study_attacks, study_decentralised, study_noise, study_sync
from tests.bench.machine import format_machine, get_machine
from tests.bench.study_cells import CellFile

SEEDS = 5
TASK = "mnist"


def run_decentralised(options: argparse.Namespace, file: CellFile) -> str:
    plan = study_decentralised.Plan(
        task=options.task or TASK,
        rounds=options.rounds or study_decentralised.ROUNDS,
        epochs=options.epochs or study_decentralised.EPOCHS,
        learning_rates=options.learning_rates,
        seeds=list_seeds(options),
    )
    tuning = plan.list_tuning_cells()
    tuned = study_decentralised.measure(tuning, file, options.data)
    cells = plan.list_cells(study_decentralised.choose_rates(tuning, tuned))
    results = study_decentralised.measure(cells, file, options.data)
    parts = (study_decentralised.report_tuning(tuning, tuned), study_decentralised.report(cells, results))
    return f"{plan.rounds} rounds, {plan.epochs} local epochs, {options.seeds} seeds\n" + "\n\n".join(parts)


def run_noise(options: argparse.Namespace, file: CellFile) -> str:
    rounds = options.rounds or study_noise.ROUNDS
    cells = study_noise.list_cells(options.task or TASK, rounds, options.epochs, list_seeds(options))
    table = study_noise.report(cells, study_noise.measure(cells, file, options.data))
    epochs = f", {options.epochs} local epochs" if options.epochs else ""
    return f"{rounds} rounds{epochs}, {options.seeds} seeds\n{table}"


def run_attacks(options: argparse.Namespace, file: CellFile) -> str:
    rounds = options.rounds or study_attacks.ROUNDS
    attacks = options.attacks or study_attacks.ATTACKS
    cells = study_attacks.list_cells(options.task or study_attacks.TASK, rounds, attacks, list_seeds(options))
    table = study_attacks.report(cells, study_attacks.measure(cells, file, options.data))
    return f"{rounds} rounds, {options.seeds} seeds\n{table}"


def run_sync(options: argparse.Namespace, file: CellFile) -> str:
    rounds = options.rounds or study_sync.ROUNDS
    cells = study_sync.list_cells(rounds, list_seeds(options))
    return f"{rounds} rounds, {options.seeds} seeds\n{study_sync.report(cells, study_sync.measure(cells, file))}"


STUDIES = {"attacks": run_attacks, "decentralised": run_decentralised, "noise": run_noise, "sync": run_sync}


def list_seeds(options: argparse.Namespace) -> tuple[int, ...]:
    """Seeds from 1 on: 0 is for tuning."""
    return tuple(range(1, options.seeds + 1))


def parse_rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.studies",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many runs of each kind ({SEEDS})")
    parser.add_argument("--rounds", type=int, help="rounds of a run (attacks 25, decentralised 30, noise 15, sync 60)")
    parser.add_argument("--epochs", type=int, help="local epochs per round (decentralised 3, noise the preset's)")
    parser.add_argument("--task", help="what to learn (mnist; attacks digits)")
    parser.add_argument("--attacks", nargs="+", metavar="NAME:key=value", help="only these attacks (all)")
    parser.add_argument(
        "--learning-rates",
        type=parse_rates,
        default=study_decentralised.LEARNING_RATES,
        metavar="A,B,C",
        help="what decentralised chooses among for each side (0.0005,0.001,0.002)",
    )
    parser.add_argument("--data", type=Path, default=get_data_directory(), help="the data directory (FLOBC_DATA_DIR)")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep finished runs here")
    parser.add_argument("--resume", action="store_true", help="go on with the runs that --out holds")
    options = parser.parse_args(arguments)
    for name in ("seeds", "rounds", "epochs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, not {value}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    machine = f"{format_machine(get_machine())}, torch {metadata.version('torch')}"
    try:
        file = CellFile.open(options.out, machine, options.resume)
        print(STUDIES[options.study](options, file))
    except FlobcError as error:
        print(error, file=sys.stderr)
        return 1
    for ran_on in dict.fromkeys(record["machine"] for record in file.records):
        print(ran_on)
    return 0


if __name__ == "__main__":
    sys.exit(main())
