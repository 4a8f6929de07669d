"""An explorer beside a run: a process of its own, so that pages take nothing from training but what it leaves idle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path

from flobc.composition.explorer.listening import describe_listener, open_listener
from flobc.composition.run_directory import is_run_directory

HOST = "127.0.0.1"
NICENESS = 10
"""Pages wait while training wants the processor."""
POLL_S = 0.1
STOP_S = 10.0


class ExplorerBeside:
    """Pages of a run's directory on this machine's PORT, until ``stop``, or until this process has ended.

    **Raises** UsageError when the port cannot be had.
    """

    def __init__(self, port: int) -> None:
        self._listener = open_listener(f"{HOST}:{port}")
        self.address = describe_listener(self._listener, HOST)
        # A fresh interpreter, for a forked one would inherit the locks of the run's threads.
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._ending, self._end = self._context.Pipe(duplex=False)

    def start(self, root: Path) -> None:
        """Serve the run of this directory, as soon as there is one; for the main thread, as it touches signals."""
        arguments = (root, self._listener, self._ending)
        self._process = self._context.Process(target=_serve, args=arguments, name="flobc-explorer", daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C shall not end it while it loads
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        self._listener.close()
        self._ending.close()

    def wait(self) -> None:
        """Return when the explorer has ended, which it does by itself only after an error."""
        if self._process is not None:
            self._process.join()

    def stop(self) -> None:
        """End the explorer; what it took in goes with it."""
        self._listener.close()
        self._ending.close()
        self._end.close()
        if self._process is not None:
            self._process.join(STOP_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()


def _serve(root: Path, listener: socket.socket, ending: Connection) -> None:
    """Be the explorer until the run's process ends or lets go of its end of the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they go to the whole group, and the run's process decides
    os.nice(NICENESS)
    is_over = threading.Event()
    threading.Thread(target=_watch, args=(ending, is_over), name="flobc-parent", daemon=True).start()
    while not is_run_directory(root):
        if is_over.wait(POLL_S):
            return
    from flobc.composition.explorer.explorer import Explorer  # noqa: PLC0415 - loads the web's libraries
    from flobc.composition.explorer.serving import WebServer  # noqa: PLC0415
    from flobc.composition.explorer.sources import DirectorySource  # noqa: PLC0415

    server = WebServer(Explorer(DirectorySource(root), is_trusted=True))
    server.start_on(listener, HOST)
    try:
        is_over.wait()
    finally:
        server.stop()


def _watch(ending: Connection, is_over: threading.Event) -> None:
    """Tell when nobody holds the other end any more: the run's process let go of it, or is gone however it ended."""
    wait([ending])
    is_over.set()
