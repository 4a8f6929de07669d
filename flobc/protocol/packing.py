"""Neighbouring fields of fixed width, written and read in one call.

Nearly all that a log holds are such fields, and a call for each of them takes most of the time that a node spends
on the log. Nothing is checked here that the fields' own forms do not check: what does not fit is left to them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class Packed:
    """How one field is packed: its code for ``struct``, a byte string's length, an enumeration's members by number."""

    code: str
    length: int | None = None
    members: Mapping[int, Any] | None = None


class PackedFields:
    """Two or more fields of fixed width that follow each other."""

    def __init__(self, names: Sequence[str], fields: Sequence[Packed]) -> None:
        self._struct = struct.Struct(">" + "".join(field.code for field in fields))
        self._get = attrgetter(*names)
        # struct fills byte strings up and cuts them, and knows no members
        self._lengths = [(place, field.length) for place, field in enumerate(fields) if field.length is not None]
        self._members = [(place, field.members) for place, field in enumerate(fields) if field.members is not None]
        self.size = self._struct.size

    def pack(self, value: Any) -> bytes | None:
        """Return the bytes of ``value``'s fields, or None where one of them does not fit."""
        values = self._get(value)
        try:
            for place, length in self._lengths:  # no generator: this is called for each vote, several times
                if len(values[place]) != length:
                    return None
            return self._struct.pack(*values)
        except (struct.error, TypeError):
            return None

    def unpack(self, data: bytes, offset: int) -> Sequence[Any] | None:
        """Return the fields that begin at ``offset``, or None where bytes are missing or a number names no member."""
        if offset + self.size > len(data):
            return None
        found = self._struct.unpack_from(data, offset)
        if not self._members:
            return found
        values = list(found)
        for place, members in self._members:
            member = members.get(values[place])
            if member is None:
                return None
            values[place] = member
        return values
