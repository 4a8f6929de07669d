"""Measure FLoBC beside its peers, in one run on one machine, and print what came out.

The command behind ``make bench``. Each benchmark is a program of its own that prints one JSON object;
ours run in this environment, Flower's in ``.bench/venv``, which is made when it is missing. The programs
take turns (ours, the peer's, ours, the peer's), so that a busy minute does not fall on one side only.

Exit code: 0; 1 when one of our own benchmarks failed; with --require-peer also 1 when Flower was not
measured. A bar that is not met is shown and does not fail the command: timings depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.figures import FIGURES, Figure, Report, Row, judge, merge_reports
from tests.bench.machine import format_machine, get_machine
from tests.bench.peer import BENCH_FOLDER, PeerError, ensure_environment, say
from tests.bench.virtual_trainers import PACKAGES

ROOT = BENCH_FOLDER.parents[1]
BENCH_TIMEOUT_S = 600
PASSES = 2
QUICK_ARGUMENTS = {
    "bench_numerics": ["--repeats", "2"],
    "flower_aggregation": ["--repeats", "1"],
    "flower_simulation": ["--rounds", "8", "--warm-up", "3"],
    "bench_services": ["--rounds", "10"],
    "flower_deployment": ["--rounds", "1"],
    "bench_simulation": ["--rounds", "3"],
    "flower_training": ["--rounds", "2"],
}


class BenchError(Exception):
    """A benchmark gave no figures; the message is one sentence for a person."""


@dataclass
class Outcome:
    """Everything the run has gathered: reports by program, versions of the peers, what went wrong."""

    reports: dict[str, list[Report]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


def is_peer(bench: str) -> bool:
    return bench.startswith("flower_")


def select_figures(only: str | None) -> list[Figure]:
    chosen = [figure for figure in FIGURES if only is None or only.lower() in figure.name.lower()]
    if not chosen:
        names = "; ".join(figure.name for figure in FIGURES)
        raise SystemExit(f"No figure is named like '{only}'. The figures are: {names}.")
    return chosen


def list_benches(figures: Sequence[Figure]) -> dict[str, list[str]]:
    """Give each program once, in the order of the figures, with the keys that are wanted of it."""
    wanted: dict[str, list[str]] = {}
    for figure in figures:
        for source in (figure.ours, figure.peer):
            if source is not None:
                keys = wanted.setdefault(source.bench, [])
                keys += [key for key in source.keys if key not in keys]
    return wanted


def run_benches(figures: Sequence[Figure], passes: int, quick: bool) -> Outcome:
    """Run the programs in turns, ``passes`` times; one that failed is not tried again."""
    outcome = Outcome()
    wanted = list_benches(figures)
    peer_python = prepare_peer(wanted, outcome)
    for turn in range(1, passes + 1):
        for bench, keys in wanted.items():
            if bench in outcome.troubles:
                continue
            say(f"pass {turn} of {passes}: {bench}")
            python = peer_python if is_peer(bench) else Path(sys.executable)
            arguments = ["--json", *(QUICK_ARGUMENTS.get(bench, []) if quick else [])]
            if bench == "flower_aggregation":
                arguments += ["--keys", *keys]
            try:
                collect(outcome, bench, run_program(python, bench, arguments))
            except BenchError as error:
                outcome.troubles[bench] = str(error)
                say(str(error))
    return outcome


def prepare_peer(wanted: dict[str, list[str]], outcome: Outcome) -> Path:
    """Return the peer's interpreter; where it cannot be had, note why at each of its programs."""
    benches = [bench for bench in wanted if is_peer(bench)]
    try:
        return ensure_environment() if benches else Path(sys.executable)
    except PeerError as error:
        say(str(error))
        outcome.troubles.update(dict.fromkeys(benches, str(error)))
        return Path(sys.executable)


def collect(outcome: Outcome, bench: str, printed: dict[str, object]) -> None:
    numbers = {
        key: float(value)
        for key, value in printed.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    outcome.reports.setdefault(bench, []).append(numbers)
    if is_peer(bench):
        names = ("flwr", "ray", "numpy")
        outcome.versions.update({name: str(printed[name]) for name in names if name in printed})


def run_program(python: Path, bench: str, arguments: Sequence[str]) -> dict[str, object]:
    """Run one benchmark and return the JSON object it printed. Raises ``BenchError``."""
    script = BENCH_FOLDER / f"{bench}.py"
    if not script.is_file():
        raise BenchError(f"{bench} is not measured: {script.relative_to(ROOT)} does not exist.")
    # A session of its own, so that a time-out also ends whatever the program has started.
    process = subprocess.Popen(
        [str(python), str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), PACKAGES: sysconfig.get_path("purelib")},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=BENCH_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{bench} is not measured: it took longer than {BENCH_TIMEOUT_S} s.") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        lines = errors.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"{bench} is not measured: exit code {process.returncode} ({lines[-1]}).")
    return parse_report(bench, output)


def parse_report(bench: str, output: str) -> dict[str, object]:
    try:
        report = json.loads(output[output.index("{") :])
    except ValueError as error:
        raise BenchError(f"{bench} is not measured: expected one JSON object, found {output[:80]!r}.") from error
    return dict(report)


def format_table(rows: Sequence[Row]) -> str:
    """Lay the rows out in columns; ``~`` marks a noisy measurement."""
    lines = [("figure", "ours", "peer", "ratio", "bar", "met?")]
    lines += [
        (
            row.figure.name,
            format_value(row.ours, row.figure.unit),
            "-" if row.figure.peer is None else format_value(row.peer, row.figure.unit),
            "-" if row.ratio is None else f"{row.ratio:.3g}",
            format_bar(row.figure),
            {None: "?", True: "yes", False: "NO"}[row.met] + ("~" if row.noisy else ""),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def format_value(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    return f"{value * 1000:.4g} ms" if unit == "s" and value < 1 else f"{value:.4g} {unit}"


def format_bar(figure: Figure) -> str:
    if figure.bar is None:
        return "-"
    unit = "" if figure.peer else f" {figure.unit}"
    return f"{'<=' if figure.better == 'lower' else '>='} {figure.bar:.3g}{unit}"


def choose_exit_code(troubles: dict[str, str], require_peer: bool) -> int:
    ours_failed = any(not is_peer(bench) for bench in troubles)
    return 1 if ours_failed or (require_peer and any(is_peer(bench) for bench in troubles)) else 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="only figures whose name contains NAME")
    parser.add_argument("--quick", action="store_true", help="one pass and few repeats: a look, not a result")
    parser.add_argument("--passes", type=int, default=PASSES, help="how often the programs take turns")
    parser.add_argument("--require-peer", action="store_true", help="fail when Flower was not measured")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write everything measured here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    figures = select_figures(options.only)
    machine = get_machine()
    outcome = run_benches(figures, 1 if options.quick else options.passes, options.quick)
    merged = {bench: merge_reports(passes) for bench, passes in outcome.reports.items()}
    rows = [judge(figure, merged) for figure in figures]
    print(format_table(rows))
    print("Medians. Bars bound ours / peer, or our own value. ~: noisy, repeat on a quiet machine.")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(outcome.versions.items()))
    print(f"{format_machine(machine)}; peer: {versions or 'not measured'}")
    for trouble in dict.fromkeys(outcome.troubles.values()):
        print(trouble)
    if options.out:
        content = {
            "machine": machine,
            "peer": outcome.versions,
            "rows": [asdict(row) for row in rows],
            "reports": outcome.reports,
            "troubles": outcome.troubles,
        }
        options.out.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"wrote {options.out}")
    return choose_exit_code(outcome.troubles, options.require_peer)


if __name__ == "__main__":
    sys.exit(main())
