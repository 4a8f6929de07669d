"""``flobc watch``: a picture in place on a terminal, plain lines everywhere else."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flobc.cli.main import main
from flobc.cli.watch_live import BARS, MAX_TRAINERS, PLAIN_BARS, WINDOW, LiveWatch, draw_line
from tests.support.small_chain import ROUNDS, build_chain


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_chain(tmp_path_factory.mktemp("watched") / "run")


def build_decision(trainer: int, reason: str, score: float) -> dict[str, Any]:
    return {"trainer": f"{trainer:064x}"[::-1], "reason": reason, "score": score}


def build_block(height: int, trainers: int = 2) -> dict[str, Any]:
    decisions = [build_decision(trainer, "accepted", height / 100) for trainer in range(trainers - 1)]
    return {
        "height": height,
        "closing": "complete",
        "loss": 1 / height,
        "accuracy": 1 - 1 / height,
        "seals": 3,
        "header": "ab" * 32,
        "model_digest": "cd" * 32,
        "accepted": decisions,
        "rejected": [build_decision(trainers - 1, "low_score", -0.5)],
    }


def draw(live: LiveWatch, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=120, color_system=None)
    console.print(live.draw())
    file.seek(0)
    return file.read()


def test_a_curve_is_drawn_between_its_least_and_largest_value() -> None:
    assert draw_line([0, 1, 2, 3, 4, 5, 6, 7], 8) == BARS
    assert draw_line([7, None, 0], 8) == f"{BARS[-1]} {BARS[0]}"
    assert draw_line([5, 1, 9], 2) == f"{BARS[0]}{BARS[-1]}"
    assert draw_line([3, 3], 8) == 2 * BARS[len(BARS) // 2 - 1]
    assert draw_line([None], 8) == " "
    assert draw_line([], 8) == ""
    assert draw_line([0, 7], 8, PLAIN_BARS).isascii()


def test_the_picture_shows_curves_blocks_and_trainers() -> None:
    live = LiveWatch(Console(file=io.StringIO()))
    assert "no blocks yet" in draw(live)
    for height in range(1, 2 * WINDOW + 1):
        live.show(build_block(height), is_new=height > WINDOW)
    text = draw(live)
    assert "- rounds a minute" not in text
    assert str(2 * WINDOW) in text
    assert BARS[-1] in text
    accepted, rejected = (line.split() for line in text.splitlines() if line.startswith(("00000000", "10000000")))
    assert accepted[1:5] == [str(WINDOW), "0", "1.2000", "accepted"]
    assert rejected[1:5] == ["0", str(WINDOW), "-0.5000", "low_score"]


def test_of_many_trainers_the_busiest_are_shown() -> None:
    live = LiveWatch(Console(file=io.StringIO()))
    live.show(build_block(1, trainers=MAX_TRAINERS + 5), is_new=True)
    assert "... and 5 more" in draw(live)


def test_a_terminal_that_knows_no_bars_gets_others() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=True, width=100)
    live = LiveWatch(console)
    live.show(build_block(1), is_new=False)
    assert draw(live, "ascii").isascii()


def test_without_a_terminal_there_are_plain_lines(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(root), "--until", str(ROUNDS)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("height")
    assert [line.split()[0] for line in lines[1:]] == [str(height) for height in range(1, ROUNDS + 1)]
    assert main(["watch", str(root), "--until", str(ROUNDS), "--json"]) == 0
    assert [json.loads(line)["height"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["colour", "no colour", "dumb"])
def test_a_terminal_is_drawn_on_unless_it_asks_not_to(root: Path, variables: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    command = [sys.executable, "-m", "flobc.cli.main", "watch", str(root), "--until", str(ROUNDS)]
    with subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 65_536):
                seen += data
        except OSError:  # the terminal is closed on their side
            pass
        assert process.wait() == 0
    os.close(ours)
    is_drawn = b"rounds a minute" in seen
    assert is_drawn == (not variables)
    assert (b"\x1b[" in seen) == is_drawn
