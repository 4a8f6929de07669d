"""A chain as it grows on a terminal: curves of a line, the newest blocks and the trainers, drawn in place on stdout."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flobc.cli.output import show_share
from flobc.cli.status import BLOCK_TITLES, describe_row

WINDOW = 60
"""Blocks that curves and trainers' counts reach over."""
MAX_BLOCKS, MAX_TRAINERS = 8, 10
CURVE_WIDTH, SCORE_WIDTH = 40, 12
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
"""The second for terminals that know no others."""


class LiveWatch:
    """Draws the newest blocks of one chain. Use it as a context manager; the last picture stays."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bars = PLAIN_BARS if self._console.options.ascii_only else BARS
        self._blocks: deque[dict[str, Any]] = deque(maxlen=WINDOW)
        self._seen_s: deque[float] = deque(maxlen=WINDOW)
        self._live = Live(console=self._console, get_renderable=self.draw, refresh_per_second=2)

    def __enter__(self) -> LiveWatch:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, block: dict[str, Any], is_new: bool) -> None:
        """Take in the next block as ``describe_block`` tells it; ``is_new`` says that it came while we watched."""
        self._blocks.append(block)
        if is_new:
            self._seen_s.append(time.monotonic())

    def draw(self) -> Group:
        """Return the picture of now."""
        if not self._blocks:
            return Group(Text("There are no blocks yet.", style="dim"))
        return Group(self._draw_head(), self._draw_blocks(), Text(), self._draw_trainers())

    def _draw_head(self) -> Table:
        head = Table.grid(padding=(0, 2))
        newest = self._blocks[-1]
        head.add_row("height", str(newest["height"]), f"{self._describe_rate()}, newest {self._describe_age()}")
        for name in ("accuracy", "loss"):
            values = [block[name] for block in self._blocks]
            head.add_row(name, show_share(newest[name]), Text(draw_line(values, CURVE_WIDTH, self._bars), style="cyan"))
        head.add_row("")
        return head

    def _describe_rate(self) -> str:
        if len(self._seen_s) < 2 or self._seen_s[-1] <= self._seen_s[0]:
            return "- rounds a minute"
        return f"{60 * (len(self._seen_s) - 1) / (self._seen_s[-1] - self._seen_s[0]):.1f} rounds a minute"

    def _describe_age(self) -> str:
        return f"{time.monotonic() - self._seen_s[-1]:.0f} s ago" if self._seen_s else "from before"

    def _draw_blocks(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in BLOCK_TITLES:
            table.add_column(title, no_wrap=True, overflow="ellipsis")
        for block in list(self._blocks)[-MAX_BLOCKS:]:
            table.add_row(*describe_row(block), style="yellow" if block["rejected"] else "")
        return table

    def _draw_trainers(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("trainer", "accepted", "rejected", "last score", "outcome", "scores"):
            table.add_column(title, no_wrap=True, overflow="ellipsis")
        trainers: dict[str, list[dict[str, Any]]] = {}
        for block in self._blocks:
            for decision in (*block["accepted"], *block["rejected"]):
                trainers.setdefault(decision["trainer"], []).append(decision)
        for key in sorted(trainers, key=lambda key: (-len(trainers[key]), key))[:MAX_TRAINERS]:
            decided = trainers[key]
            accepted, last = sum(item["reason"] == "accepted" for item in decided), decided[-1]
            scores = draw_line([item["score"] for item in decided], SCORE_WIDTH, self._bars)
            row = (
                key[:8],
                str(accepted),
                str(len(decided) - accepted),
                show_share(last["score"]),
                last["reason"],
                scores,
            )
            table.add_row(*row, style="" if last["reason"] == "accepted" else "red")
        if len(trainers) > MAX_TRAINERS:
            table.add_row(Text(f"... and {len(trainers) - MAX_TRAINERS} more", style="dim"))
        return table


def draw_line(values: Sequence[float | None], width: int, bars: str = BARS) -> str:
    """Return the last values as bars between their least and their largest; a space where there is none."""
    shown = list(values)[-width:]
    known = [value for value in shown if value is not None]
    if not known:
        return " " * len(shown)
    least, span = min(known), max(known) - min(known)
    top = len(bars) - 1
    return "".join(
        " " if value is None else bars[top // 2 if span == 0 else round(top * (value - least) / span)]
        for value in shown
    )
