"""A small memo for large results: computed once however many threads ask, dropped oldest first by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

V = TypeVar("V")


class _Known(Generic[V]):
    """A result that nobody waits for: a future is a lock and a condition, which cost as much as a small result."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def result(self) -> V:
        return self._value


class ByteBoundedMemo(Generic[V]):
    """Maps keys to results of a pure function, holding about ``limit_bytes`` of them.

    At least ``least`` entries stay whatever their size, so that a large model still fits.
    """

    def __init__(self, limit_bytes: int, measure: Callable[[V], int], least: int = 2) -> None:
        self._limit_bytes = limit_bytes
        self._measure = measure
        self._least = least
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, Future[V] | _Known[V]] = OrderedDict()
        self._sizes: dict[bytes, int] = {}
        self._held_bytes = 0

    def get(self, key: bytes, compute: Callable[[], V]) -> V:
        """Return the result for ``key``; what ``compute`` raises is raised to all who wait for it."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                future = self._entries[key] = Future[V]()
            self._entries.move_to_end(key)
        if found is not None:
            return found.result()
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(value)
        with self._lock:
            self._hold(key, value)
        return value

    def put(self, key: bytes, value: V) -> None:
        """Enter a result that is known already, unless there is one."""
        with self._lock:
            if key not in self._entries:
                self._entries[key] = _Known(value)
                self._hold(key, value)

    def drop(self, is_obsolete: Callable[[bytes], bool]) -> None:
        """Forget finished results that are no longer wanted."""
        with self._lock:
            for key in [key for key in self._sizes if is_obsolete(key)]:
                self._forget(key)

    def _hold(self, key: bytes, value: V) -> None:
        size = self._measure(value)
        self._held_bytes += size
        self._sizes[key] = size
        while self._held_bytes > self._limit_bytes and len(self._sizes) > self._least:
            self._forget(next(key for key in self._entries if key in self._sizes))

    def _forget(self, key: bytes) -> None:
        del self._entries[key]
        self._held_bytes -= self._sizes.pop(key)
