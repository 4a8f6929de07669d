"""Canonical encoding: one value has one byte string, and only that string decodes to it (WIRE-1..WIRE-8).

A message is a frozen dataclass; its annotations are the schema. Fields stand in the order of
their declaration, without names or padding:

=========================  ==============================================================
annotation                 bytes
=========================  ==============================================================
``U8 U16 U32 U64 U128``    unsigned, big-endian, fixed width
``I32 I64``, ``int``       two's complement, big-endian, fixed width (``int`` is ``I64``)
``bool``                   one byte, 0 or 1
``Digest Key Signature``   32, 32 and 64 raw bytes
``bytes``                  ``U32`` length, then the bytes
``str``, ``Literal[...]``  ``U32`` length, then UTF-8
``tuple[T, ...]``          ``U32`` count, then the items
``dict[K, V]``             ``U32`` count, then pairs in strictly ascending order of the key's bytes
``T | None``               one byte 0, or 1 and then ``T``
``IntEnum``                one byte
dataclass                  its fields
=========================  ==============================================================
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import itertools
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from flobc.errors import LocalProtocolError, RemoteProtocolError
from flobc.protocol.packing import Packed, PackedFields

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class _Width:
    """An integer's width in bytes and whether it is signed."""

    size: int
    signed: bool = False


@dataclasses.dataclass(frozen=True)
class _Fixed:
    """A byte string of exactly ``size`` bytes."""

    size: int


U8 = Annotated[int, _Width(1)]
U16 = Annotated[int, _Width(2)]
U32 = Annotated[int, _Width(4)]
U64 = Annotated[int, _Width(8)]
U128 = Annotated[int, _Width(16)]
I32 = Annotated[int, _Width(4, signed=True)]
I64 = Annotated[int, _Width(8, signed=True)]
Digest = Annotated[bytes, _Fixed(32)]
Key = Annotated[bytes, _Fixed(32)]
Signature = Annotated[bytes, _Fixed(64)]

MAX_LENGTH = 1 << 24
"""Longest byte string or collection that a decoder accepts; far above any honest record (WIRE-5)."""


class _Reader:
    """A cursor over received bytes that never reads past their end."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self.data):
            raise RemoteProtocolError(
                "WIRE-3", f"{size} more bytes", f"{len(self.data) - self.offset} bytes before the end"
            )
        piece = self.data[self.offset : end]
        self.offset = end
        return piece

    def length(self, item_size: int) -> int:
        """Read a count whose items take at least ``item_size`` bytes, so it cannot promise more than is there."""
        count = int.from_bytes(self.take(4), "big")
        if count > MAX_LENGTH or count * item_size > len(self.data) - self.offset:
            raise RemoteProtocolError("WIRE-5", "a length that fits the record", f"length {count}")
        return count


@dataclasses.dataclass(frozen=True)
class _Form:
    """How one annotation is written and read; ``least`` is its smallest size in bytes.

    ``packed`` is how, where it can be done together with its neighbours.
    """

    write: Callable[[list[bytes], Any], None]
    read: Callable[[_Reader], Any]
    least: int
    packed: Packed | None = None


_INTEGER_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""What ``struct`` calls unsigned integers by their width; signed ones are the same letters in lower case."""


def _integer(width: _Width) -> _Form:
    size, signed = width.size, width.signed

    def write(out: list[bytes], value: int) -> None:
        try:
            # index() takes every integer type and no float, which int() would silently round.
            out.append(operator.index(value).to_bytes(size, "big", signed=signed))
        except (OverflowError, TypeError) as error:
            kind = "signed" if signed else "unsigned"
            raise LocalProtocolError("WIRE-1", f"a {kind} {8 * size}-bit integer", repr(value)) from error

    code = _INTEGER_CODES.get(size)
    packed = Packed(code.lower() if signed else code) if code is not None else None
    return _Form(write, lambda reader: int.from_bytes(reader.take(size), "big", signed=signed), size, packed)


def _fixed(size: int) -> _Form:
    def write(out: list[bytes], value: bytes) -> None:
        if len(value) != size:
            raise LocalProtocolError("WIRE-1", f"{size} bytes", f"{len(value)} bytes")
        out.append(bytes(value))

    return _Form(write, lambda reader: reader.take(size), size, Packed(f"{size}s", length=size))


def _write_bool(out: list[bytes], value: bool) -> None:
    out.append(b"\x01" if value else b"\x00")


def _read_bool(reader: _Reader) -> bool:
    byte = reader.take(1)[0]
    if byte > 1:
        raise RemoteProtocolError("WIRE-4", "0 or 1 for a truth value", str(byte))
    return byte == 1


def _write_bytes(out: list[bytes], value: bytes) -> None:
    if len(value) > MAX_LENGTH:
        raise LocalProtocolError("WIRE-5", f"at most {MAX_LENGTH} bytes", f"{len(value)} bytes")
    out.append(len(value).to_bytes(4, "big"))
    out.append(bytes(value))


def _read_bytes(reader: _Reader) -> bytes:
    return reader.take(reader.length(1))


def _read_text(reader: _Reader) -> str:
    try:
        return _read_bytes(reader).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("WIRE-4", "UTF-8 text", str(error)) from error


_TEXT = _Form(lambda out, value: _write_bytes(out, value.encode("utf-8")), _read_text, 4)


def _literal(choices: tuple[str, ...]) -> _Form:
    def write(out: list[bytes], value: str) -> None:
        if value not in choices:
            raise LocalProtocolError("WIRE-1", f"one of {', '.join(choices)}", repr(value))
        _TEXT.write(out, value)

    def read(reader: _Reader) -> str:
        text = _read_text(reader)
        if text not in choices:
            raise RemoteProtocolError("WIRE-4", f"one of {', '.join(choices)}", repr(text))
        return text

    return _Form(write, read, 4)


def _enumeration(cls: type[enum.IntEnum]) -> _Form:
    def read(reader: _Reader) -> enum.IntEnum:
        byte = reader.take(1)[0]
        try:
            return cls(byte)
        except ValueError as error:
            raise RemoteProtocolError("WIRE-4", f"a {cls.__name__} code", str(byte)) from error

    def write(out: list[bytes], value: enum.IntEnum) -> None:
        out.append(int(value).to_bytes(1, "big"))

    return _Form(write, read, 1, Packed("B", members={int(member): member for member in cls}))


def _sequence(item: _Form) -> _Form:
    def write(out: list[bytes], values: tuple[Any, ...]) -> None:
        out.append(len(values).to_bytes(4, "big"))
        for value in values:
            item.write(out, value)

    def read(reader: _Reader) -> tuple[Any, ...]:
        return tuple(item.read(reader) for _ in range(reader.length(max(1, item.least))))

    return _Form(write, read, 4)


def _mapping(key: _Form, value: _Form) -> _Form:
    def key_bytes(item: Any) -> bytes:
        parts: list[bytes] = []
        key.write(parts, item)
        return b"".join(parts)

    def write(out: list[bytes], values: dict[Any, Any]) -> None:
        out.append(len(values).to_bytes(4, "big"))
        for encoded, item in sorted((key_bytes(item), item) for item in values):
            out.append(encoded)
            value.write(out, values[item])

    def read(reader: _Reader) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        previous = b""
        for index in range(reader.length(max(1, key.least + value.least))):
            item = key.read(reader)
            encoded = key_bytes(item)
            if index and encoded <= previous:
                raise RemoteProtocolError("WIRE-6", "keys in ascending order", encoded.hex())
            previous = encoded
            result[item] = value.read(reader)
        return result

    return _Form(write, read, 4)


def _optional(inner: _Form) -> _Form:
    def write(out: list[bytes], value: Any) -> None:
        _write_bool(out, value is not None)
        if value is not None:
            inner.write(out, value)

    return _Form(write, lambda reader: inner.read(reader) if _read_bool(reader) else None, 1)


_FORMS: dict[tuple[type[Any], bool], _Form] = {}


def _record_form(cls: type[Any], skip_last: bool = False) -> _Form:
    """Return a dataclass's form, made once; ``skip_last`` leaves its last field out."""
    form = _FORMS.get((cls, skip_last))
    if form is None:
        form = _FORMS[cls, skip_last] = _build_record_form(cls, skip_last)
    return form


def _build_record_form(cls: type[Any], skip_last: bool) -> _Form:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    if skip_last:
        names = names[:-1]
    fields = [(name, _form(hints[name])) for name in names]
    parts = [
        _Part.build(list(group)) for _, group in itertools.groupby(fields, lambda item: item[1].packed is not None)
    ]

    def write(out: list[bytes], value: Any) -> None:
        for part in parts:
            packed = None if part.packed is None else part.packed.pack(value)
            if packed is not None:
                out.append(packed)
            else:  # field by field, where one that does not fit says what is wrong with it
                for name, form in part.fields:
                    form.write(out, getattr(value, name))

    def read(reader: _Reader) -> Any:
        values: list[Any] = []
        for part in parts:
            found = None if part.packed is None else part.packed.unpack(reader.data, reader.offset)
            if part.packed is not None and found is not None:
                reader.offset += part.packed.size
                values += found
            else:
                values += [form.read(reader) for _, form in part.fields]
        return cls(*values)

    return _Form(write, read, sum(form.least for _, form in fields))


@dataclasses.dataclass(frozen=True)
class _Part:
    """Fields of a dataclass that follow each other, and how they are packed, if all of them can be."""

    fields: list[tuple[str, _Form]]
    packed: PackedFields | None

    @classmethod
    def build(cls, fields: list[tuple[str, _Form]]) -> _Part:
        packed = [form.packed for _, form in fields if form.packed is not None]
        is_whole = len(packed) == len(fields) > 1
        return cls(fields, PackedFields([name for name, _ in fields], packed) if is_whole else None)


_PLAIN: dict[Any, _Form] = {
    int: _integer(_Width(8, signed=True)),
    bool: _Form(_write_bool, _read_bool, 1),
    bytes: _Form(_write_bytes, _read_bytes, 4),
    str: _TEXT,
}


def _form(hint: Any) -> _Form:
    """Return the form of one annotation; an annotation without one is a defect of ours."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        meaning = arguments[1]
        return _integer(meaning) if isinstance(meaning, _Width) else _fixed(meaning.size)
    if origin is Literal:
        return _literal(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _sequence(_form(arguments[0]))
    if origin is not None and issubclass(dict, origin if isinstance(origin, type) else int):
        return _mapping(_form(arguments[0]), _form(arguments[1]))
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = arguments[0] if arguments[1] is type(None) else arguments[1]
        return _optional(_form(inner))
    if isinstance(hint, type) and issubclass(hint, enum.IntEnum):
        return _enumeration(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record_form(hint)
    raise LocalProtocolError("WIRE-1", "an annotation with a canonical form", repr(hint))


def encode(value: Any) -> bytes:
    """Return the one canonical byte string of a dataclass ``value`` (WIRE-1)."""
    out: list[bytes] = []
    _record_form(type(value)).write(out, value)
    return b"".join(out)


def encode_without_last(value: Any) -> bytes:
    """Return the encoding of every field but the last: what a message's trailing signature covers."""
    out: list[bytes] = []
    _record_form(type(value), True).write(out, value)
    return b"".join(out)


def decode(cls: type[T], data: bytes) -> T:
    """Return the ``cls`` that ``data`` encodes.

    **Raises** RemoteProtocolError with the WIRE rule that the bytes break; trailing bytes break WIRE-3.
    """
    reader = _Reader(data)
    value: T = _record_form(cls).read(reader)
    if reader.offset != len(data):
        raise RemoteProtocolError("WIRE-3", "the end of the record", f"{len(data) - reader.offset} bytes more")
    return value


def tagged(tag: str, body: bytes) -> bytes:
    """Return ``body`` behind its domain tag, so that no hash or signature fits two kinds of thing (WIRE-7)."""
    name = f"flobc/1/{tag}".encode()
    return bytes([len(name)]) + name + body


def compute_digest(value: Any) -> bytes:
    """Return SHA-256 over the tagged encoding of a dataclass; the tag is its class's name (WIRE-8)."""
    return hashlib.sha256(tagged(type(value).__name__, encode(value))).digest()
