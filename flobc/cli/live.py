"""What a person sees of a run on a terminal: bars and a table of trainers that change in place, on stderr."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flobc.cli.output import Talk
from flobc.cli.progress import PlainProgress, describe_round
from flobc.cli.summary import TRAINER_TITLES, describe_trainer
from flobc.cli.terminal import is_plain
from flobc.composition.reports import Observer, RoundReport, SilentObserver, TestReport, TrainerReport
from flobc.protocol.consensus.state import ChainState

MAX_ROWS = 20
"""Trainers shown while the run goes on; the summary at its end shows all."""


class LiveProgress:
    """Draws bars and table; each finished round leaves a line above them. Use it as a context manager."""

    def __init__(self, opening: str) -> None:
        self._opening = opening
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._rounds = self._bars.add_task("rounds", total=None)
        self._updates = self._bars.add_task("updates of this round", total=None)
        self._live = Live(self._bars, console=console, transient=True, refresh_per_second=8)
        self._report: RoundReport | None = None

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def on_start(self, state: ChainState, rounds: int, warning: str | None) -> None:
        """Show what is run, how much is to be done, and what is to be warned of."""
        self._live.console.print(self._opening, highlight=False, soft_wrap=True)
        if warning:
            self._live.console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)
        self._bars.update(self._rounds, completed=min(state.height, rounds), total=rounds)

    def on_update(self, height: int, received: int, decided: int, expected: int) -> None:
        """Move the round's bar: updates decided of those expected."""
        del height, received
        self._bars.update(self._updates, completed=decided, total=expected)

    def on_round(self, report: RoundReport) -> None:
        """Show what became of each trainer's update."""
        self._flush(None)
        self._report = report
        self._bars.update(self._rounds, completed=report.height)
        self._bars.reset(self._updates)
        self._live.update(Group(build_table(report.trainers), self._bars))

    def on_test(self, report: TestReport) -> None:
        """Print the line of the round that made the tested model."""
        if self._report and self._report.height == report.height:
            self._flush(report.accuracy)

    def _flush(self, accuracy: float | None) -> None:
        if self._report:
            self._live.console.print(describe_round(self._report, accuracy), highlight=False)
        self._report = None


def build_table(trainers: tuple[TrainerReport, ...]) -> Table:
    """Return the table of trainers; of many, those with the most trust."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in TRAINER_TITLES:
        table.add_column(title, justify="right" if title in ("trust", "weight", "score") else "left")
    shown = trainers
    if len(trainers) > MAX_ROWS:
        shown = tuple(sorted(trainers, key=lambda trainer: (-trainer.trust_share, trainer.index))[:MAX_ROWS])
    for trainer in shown:
        style = {"accepted": "", "none": "dim"}.get(trainer.outcome, "red")
        table.add_row(*describe_trainer(trainer), style=style)
    if len(shown) < len(trainers):
        table.add_row(Text(f"... and {len(trainers) - len(shown)} more", style="dim"))
    return table


def build_progress(talk: Talk, opening: str) -> tuple[Observer, AbstractContextManager[object]]:
    """Return who watches a run, and what to keep open while it does; ``opening`` is said when it really begins."""
    if talk.quiet:
        return SilentObserver(), nullcontext()
    if is_plain():
        return PlainProgress(talk, opening), nullcontext()
    live = LiveProgress(opening)
    return live, live
