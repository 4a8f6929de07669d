"""A connection between two processes of one machine whose arrays lie in memory that both map.

A pipe takes arrays in pieces of 200 KB, and for each piece both processes wait for each other. Here arrays are
copied into the memory and out of it, and only what else a message is made of goes through the connection.
"""

from __future__ import annotations

import itertools
import mmap
import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from typing import Any


class ArrayChannel:
    """One end; each end writes into a file of its own, which the other reads.

    The files have no name and end with their last reader. Each is as large as the arrays of the largest message.
    """

    def __init__(self, connection: Connection, own: int, other: int) -> None:
        self._connection = connection
        self._own, self._other = _Memory(own), _Memory(other)

    def send(self, message: Any) -> None:
        """Hand over anything that can be pickled, in place of what was sent before. **Raises** OSError."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        raw = [buffer.raw() for buffer in buffers]
        stops = list(itertools.accumulate(data.nbytes for data in raw))
        memory = self._own.grow(stops[-1] if stops else 0)
        for data, stop in zip(raw, stops, strict=True):
            memory[stop - data.nbytes : stop] = data
        self._connection.send((pickled, stops))

    def receive(self) -> Any:
        """Wait for what the other end sends. **Raises** EOFError, OSError."""
        pickled, stops = self._connection.recv()
        memory = self._other.map(stops[-1] if stops else 0)
        # One by one, so that an array which is kept keeps no other.
        return pickle.loads(
            pickled, buffers=[bytearray(memory[start:stop]) for start, stop in itertools.pairwise([0, *stops])]
        )

    def close(self) -> None:
        """End the connection: the other end's ``receive`` raises EOFError."""
        self._connection.close()
        self._own.close()
        self._other.close()


class _Memory:
    """A file without a name, mapped as far as it is needed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._view = memoryview(bytearray())

    def grow(self, size: int) -> memoryview:
        """Return the memory, made larger where it is smaller than ``size``."""
        if size > len(self._view):
            os.ftruncate(self._descriptor, size)
        return self.map(size)

    def map(self, size: int) -> memoryview:
        """Return the memory, mapped again where it has grown."""
        if size > len(self._view):
            self._view = memoryview(mmap.mmap(self._descriptor, size))
        return self._view

    def close(self) -> None:
        """Give the file up."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_memory() -> int:
    """Return a descriptor of a file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("flobc arrays")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
