"""A connection between two processes of one machine whose arrays lie in memory that both map.

A pipe takes arrays in pieces of 200 KB, and for each piece both processes wait for each other. Here only a few
bytes go through the connection, and an array is copied once on its way.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from typing import Any

_ALIGNMENT = 64
"""Where arrays begin: at the start of a line of any cache, as where they are allocated."""


class ArrayChannel:
    """One end; each end writes into a file of its own, which the other reads.

    The files have no name and end with their last reader. They are of the sizes of the largest messages.
    """

    def __init__(self, connection: Connection, own: int, other: int) -> None:
        self._connection = connection
        self._own, self._other = _Memory(own), _Memory(other)

    def send(self, message: Any) -> None:
        """Hand over anything that can be pickled, in place of what was sent before. **Raises** OSError."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        raw = [buffer.raw() for buffer in buffers]
        places, size = [], 0
        for data in raw:
            places.append((size, size + data.nbytes))
            size += -(-data.nbytes // _ALIGNMENT) * _ALIGNMENT
        memory = self._own.grow(size)
        for data, (start, stop) in zip(raw, places, strict=True):
            memory[start:stop] = data
        self._connection.send((pickled, places, size))

    def receive(self, *, keeps: bool) -> Any:
        """Wait for what the other end sends. **Raises** EOFError, OSError.

        Its arrays are those of the shared memory, which the other end's next message overwrites; where this end
        ``keeps`` them they are copied.
        """
        pickled, places, size = self._connection.recv()
        memory = self._other.map(size)
        if keeps:
            memory = memoryview(bytearray(memory[:size]))
        return pickle.loads(pickled, buffers=[memory[start:stop] for start, stop in places])

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
        """Return the memory, mapped again where it has grown; arrays of before keep the mapping that they are in."""
        if size > len(self._view):
            self._view = memoryview(mmap.mmap(self._descriptor, size))
        return self._view

    def close(self) -> None:
        """Give the file up."""
        os.close(self._descriptor)


def open_memory() -> int:
    """Return a descriptor of a file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("flobc arrays")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
