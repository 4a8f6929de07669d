"""A bar on stderr for work of a known number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flobc.cli.output import Talk
from flobc.cli.terminal import is_plain

Steps = Callable[[int, int], None]


@contextmanager
def show_steps(name: str, talk: Talk) -> Iterator[Steps | None]:
    """Yield a function of steps done and steps in all that moves a bar; None where no bar can be drawn."""
    if talk.quiet or is_plain():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
