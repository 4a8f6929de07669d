"""A bar on a terminal for an experiment's cells: how many are done, how many a minute, how long it will take."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from flobc.cli.experiments import PlainWatcher, describe_cell
from flobc.cli.output import Talk
from flobc.composition.wording import show_count
from flobc.simulation.experiments.workers import Finished


class RateColumn(ProgressColumn):
    """Cells a minute."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before there is one."""
        return Text("" if task.speed is None else f"{60 * task.speed:.1f}/min")


class CellBar(PlainWatcher):
    """Draws the bar; a cell that failed leaves a line above it. Use it as a context manager."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(talk)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn())
        self._bars = Progress(
            *columns, TimeRemainingColumn(), console=Console(stderr=True), speed_estimate_period=600.0
        )
        self._bar = self._bars.add_task("cells", total=None)

    def __enter__(self) -> CellBar:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def on_start(self, cells: int, missing: int) -> None:
        """Show how much there is to do."""
        self._bars.console.print(f"{show_count(cells, 'cell')}, {missing} of them to be computed", highlight=False)
        self._bars.update(self._bar, total=missing)

    def on_cell(self, finished: Finished) -> None:
        """Move the bar."""
        self._bars.update(self._bar, advance=1, description=finished.cell.name)
        if finished.record is None:
            self._bars.console.print(describe_cell(finished, "-"), highlight=False, markup=False, soft_wrap=True)
