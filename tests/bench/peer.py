"""The peer's environment: made once, kept in ``.bench/venv``, never mixed with the project's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

BENCH_FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = BENCH_FOLDER / "requirements.txt"
ENVIRONMENT = BENCH_FOLDER.parents[1] / ".bench" / "venv"
INSTALL_TIMEOUT_S = 900


class PeerError(Exception):
    """The peer cannot be measured here; the message is one sentence for a person."""


def ensure_environment(environment: Path = ENVIRONMENT, requirements: Path = REQUIREMENTS) -> Path:
    """Return the peer's interpreter, making its environment first where that is needed.

    The stamp is written last and holds the digest of the pins and the Python version: a half-made or
    outdated environment is made anew. Raises ``PeerError`` where it cannot be made.
    """
    stamp = environment / "complete"
    wanted = compute_stamp(requirements)
    python = environment / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    start_s = time.monotonic()
    say(f"making the peer's environment in {environment} (once, about 400 MB)")
    shutil.rmtree(environment, ignore_errors=True)
    for command in build_commands(environment, requirements):
        say(" ".join(command))
        run_step(command)
    stamp.write_text(wanted, encoding="utf-8")
    say(f"the peer is ready after {time.monotonic() - start_s:.0f} s")
    return python


def compute_stamp(requirements: Path) -> str:
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    return f"python {sys.version_info.major}.{sys.version_info.minor} pins {digest}\n"


def build_commands(environment: Path, requirements: Path) -> list[list[str]]:
    """Give the two steps: make the environment, install the pins; with uv where there is one."""
    python = str(environment / "bin" / "python")
    uv = find_uv()
    if uv is None:
        return [
            [sys.executable, "-m", "venv", str(environment)],
            [python, "-m", "pip", "install", "--quiet", "-r", str(requirements)],
        ]
    return [
        [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-r", str(requirements)],
    ]


def find_uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def run_step(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerError(
            f"Flower could not be installed: {command[0]} took over {INSTALL_TIMEOUT_S} s; try again later."
        ) from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise PeerError(
            f"Flower could not be installed: {Path(command[0]).name} exited with {done.returncode} "
            f"({lines[-1].strip()}); check the network and run make bench again."
        )


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
