"""Processes that outlive the command that started them: start, find again, wait for, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flobc.errors import FlobcError, UsageError

_POLL_S = 0.05
_LAST_LINES_BYTES = 2000


@dataclass(frozen=True)
class DetachedProcess:
    """A process with its own session, its output in ``log`` and its number in ``pid_file``.

    The number is written with the time at which the process started, so that a number that the system
    has given to somebody else meanwhile is not taken for ours.
    """

    name: str
    pid_file: Path
    log: Path

    @property
    def pid(self) -> int | None:
        """The number of the running process, or None."""
        try:
            number, started = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(number) if number.isdigit() and _read_start(int(number)) == started else None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start the process and return its number. **Raises** UsageError when it runs already or cannot be started."""
        if self.pid is not None:
            raise UsageError(f"{self.name} runs already (process {self.pid}); stop it first.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=None if environment is None else {**os.environ, **environment},
                )
            except OSError as error:
                raise UsageError(f"Cannot start {self.name} ({command[0]}): {error.strerror}.") from error
        self.pid_file.write_text(f"{child.pid} {_read_start(child.pid)}")
        return child.pid

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the process is ready.

        **Raises** FlobcError with the last lines of its log when it ends or takes too long; it is stopped then.
        """
        until_s = time.monotonic() + timeout_s
        while not is_ready():
            if self.pid is None or time.monotonic() > until_s:
                ended = "ended" if self.pid is None else f"was not ready after {timeout_s:.0f} s"
                self.stop(5)
                raise FlobcError(f"{self.name} {ended}; its log {self.log} ends with: {self.read_last_lines()}")
            time.sleep(_POLL_S)

    def ask_to_end(self) -> None:
        """Ask the process to end and do not wait."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def stop(self, timeout_s: float) -> bool:
        """Ask the process to end, wait, and kill it when it takes too long; return whether it ended by itself."""
        ended = self._signal(signal.SIGTERM, timeout_s)
        if not ended:
            self._signal(signal.SIGKILL, timeout_s)
        self.pid_file.unlink(missing_ok=True)
        return ended

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._signal(signal.SIGKILL, 10)

    def read_last_lines(self) -> str:
        """Return the end of the process's output as one line."""
        try:
            return " | ".join(self.log.read_bytes()[-_LAST_LINES_BYTES:].decode(errors="replace").splitlines()[-6:])
        except OSError:
            return "(nothing)"

    def _signal(self, number: signal.Signals, timeout_s: float) -> bool:
        pid = self.pid
        if pid is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # if it is our own child, or it stays as a zombie
            if self.pid is None:
                return True
            time.sleep(_POLL_S)
        return False


def is_port_open(host: str, port: int) -> bool:
    """Return whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def require_free_port(name: str, host: str, port: int, timeout_s: float) -> None:
    """Check that nobody listens there. **Raises** UsageError. A killed server holds its port a moment longer."""
    until_s = time.monotonic() + timeout_s
    while is_port_open(host, port):
        if time.monotonic() > until_s:
            raise UsageError(
                f"{name} cannot listen at {host}:{port}: another program does already; stop that one or choose "
                "another port."
            )
        time.sleep(_POLL_S)


def _read_start(pid: int) -> str:
    """When a process started, in the kernel's words; empty when there is none or it is only waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _read_start_portably(pid)
    # The first thread may be gone while others are still ending: until then the process holds its ports.
    has_ended = fields[0] == "Z" and int(fields[17]) <= 1
    return "" if has_ended else fields[19]


def _read_start_portably(pid: int) -> str:
    """As ``_read_start`` where there is no /proc."""
    if Path("/proc/self/stat").exists():
        return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip().replace(" ", "_")
