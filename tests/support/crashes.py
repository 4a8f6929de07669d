"""Stores that stop working at a chosen write, as a process does that is killed there."""

from __future__ import annotations

import threading
from typing import Any

from flobc.composition.embedded import Stores

_WRITES = ("append", "put", "save", "keep_only")


class Killed(Exception):
    """What a killed process would have done next did not happen."""


class KillSwitch:
    """Lets so many writes through, over all stores and threads together; None lets all."""

    def __init__(self, writes: int | None) -> None:
        self._left = writes
        self._lock = threading.Lock()
        self.count = 0

    def take(self) -> None:
        with self._lock:
            if self._left is not None and self.count >= self._left:
                raise Killed
            self.count += 1

    def guard(self, stores: Stores) -> Stores:
        """The same stores, none of which writes any more once the switch has fallen."""
        guarded: list[Any] = [
            Mortal(store, self) for store in (stores.log, stores.payloads, stores.models, stores.blocks, stores.seals)
        ]
        return Stores(*guarded, stores.keeps_payloads)


class Mortal:
    """A store whose writes ask the switch first; what was written before stays."""

    def __init__(self, store: Any, switch: KillSwitch) -> None:
        self._store = store
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _WRITES:
            return found

        def write(*arguments: Any) -> Any:
            self._switch.take()
            return found(*arguments)

        return write

    def __len__(self) -> int:
        return len(self._store)
