"""Cells side by side, each in a process of its own with one thread, so that none can harm or slow another."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from flobc.errors import FlobcError
from flobc.learning.threads import limit_threads
from flobc.simulation.experiments.cells import Cell
from flobc.simulation.experiments.measures import Record
from flobc.simulation.experiments.measuring import measure

WARMING = f"{__package__}.warming"
_GRACE_S = 5.0
_KIB = 1024


@dataclass(frozen=True)
class Finished:
    """A cell that ended: with a record, or with the reason why there is none; ``seconds`` are of a processor."""

    cell: Cell
    record: Record | None
    reason: str
    seconds: float
    memory_bytes: int


class Worker:
    """One process that carries out one cell."""

    def __init__(self, cell: Cell, data_directory: Path | None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, WARMING])  # torch is loaded once, not by each
        self.cell = cell
        self.connection, theirs = context.Pipe(duplex=False)
        arguments = (theirs, cell.text, cell.centralised, data_directory)
        self._process: BaseProcess = context.Process(target=_carry_out, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def collect(self) -> Finished:
        """Return how the cell ended; call it when the connection has something or is closed."""
        try:
            record, reason, seconds, memory_bytes = self.connection.recv()
        except EOFError:
            self._process.join()
            how = f"its process ended with code {self._process.exitcode}; is there too little memory?"
            return Finished(self.cell, None, how, 0.0, 0)
        finally:
            self.connection.close()
        self._process.join()
        return Finished(self.cell, record, reason, seconds, memory_bytes)

    def stop(self) -> None:
        """End the process; what it computed is lost."""
        self._process.terminate()
        self._process.join(_GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()


def carry_out(cells: Sequence[Cell], workers: int, data_directory: Path | None) -> Generator[Finished, None, None]:
    """Carry out cells, so many at a time, and yield each as it ends; whoever stops asking stops them all."""
    waiting = list(reversed(cells))
    running: dict[Connection, Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                worker = Worker(waiting.pop(), data_directory)
                running[worker.connection] = worker
            ready = wait(list(running))
            for connection in [connection for connection in running if connection in ready]:
                yield running.pop(connection).collect()
    finally:
        for worker in running.values():
            worker.stop()


def _carry_out(connection: Connection, text: str, centralised: str | None, data_directory: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group, and the parent ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit_threads()
    started_s = time.process_time()
    record: Record | None = None
    reason = ""
    try:
        record = measure(text, centralised, data_directory)
    except FlobcError as error:
        reason = str(error)
    except Exception:  # a fault of the program is told with its place, and the other cells go on
        reason = traceback.format_exc(limit=-3)
    connection.send((record, reason, round(time.process_time() - started_s, 3), get_most_memory()))
    connection.close()


def get_most_memory() -> int:
    """Return the most memory that this process had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * _KIB
