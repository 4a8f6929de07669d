"""Ctrl-C: the first asks to stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Somebody asked this process to stop.

    A class of its own, because CPython remembers a plain KeyboardInterrupt that passed through ``exec`` (imports do
    that) and ends the process by SIGINT, whatever exit code it returns.
    """


@dataclass
class Stop:
    """Whether this process was asked to stop, and by which signal."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """The shell's code for a process that a signal ended."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Raise Interrupted in the block at the first SIGINT, SIGTERM or SIGHUP; leave the process at the second.

    SIGHUP says that the terminal is gone, with whom one would talk there; what ``nohup`` started does not hear it.

    Whatever the moment, a run's directory stays whole: records reach the log in one write each, other
    files are replaced as a whole.
    """
    stop = Stop()
    # a terminal that is gone can no longer say that it was one
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.number is not None:
            os._exit(stop.exit_code)
        stop.number = number
        if number == signal.SIGHUP:
            leave(terminals)
        with suppress(OSError):  # who reads it may be gone by the same signal
            print("\nstopping; once more stops at once", file=sys.stderr, flush=True)
        raise Interrupted

    heard = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(terminals: Sequence[TextIO]) -> None:
    """Let what is still said to terminals go nowhere: they are gone, and every word would be an error."""
    with open(os.devnull, "w") as nowhere:
        for stream in terminals:
            os.dup2(nowhere.fileno(), stream.fileno())
