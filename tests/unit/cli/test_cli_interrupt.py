"""A terminal that was closed ends a command as Ctrl-C does, so that it can tidy up."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys

import pytest

from flobc.cli.interrupt import Interrupted, stoppable


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, or a test run from one would let go of it."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_each_signal_interrupts_once(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop, pytest.raises(Interrupted):
        signal.raise_signal(number)
    assert stop.exit_code == code
    assert signal.getsignal(number) is before


def test_what_nohup_started_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_is_said_to_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To write to it is an error, which would hide why the command ended."""
    terminal, ours = pty.openpty()
    with os.fdopen(ours, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with stoppable() as stop:
            os.close(terminal)
            with pytest.raises(Interrupted):
                signal.raise_signal(signal.SIGHUP)
        print("Stopped", file=sys.stderr, flush=True)
    assert stop.exit_code == 129
