"""A draft as a file: JSON that people can read, compare and merge, one member a line."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

from flobc.adapters.filesystem import read_regular, write_atomically
from flobc.composition.organisations.drafts import Draft
from flobc.composition.run_directory import settings_to_json
from flobc.composition.settings import RunSettings, validate_settings
from flobc.errors import DataError, UsageError
from flobc.protocol.params import ChainParams, validate_chain_params

FORMAT, VERSION = "flobc-genesis-draft", 1
AGREED = ("task", "seed", "sharding", "training", "chunk_size", "preset")
"""The settings that all parties share; the rest is each one's own business."""
_MAX_BYTES = 1 << 26


def is_draft(path: Path) -> bool:
    """Return whether the file may be a draft: a genesis never begins like one."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def save_draft(path: Path, draft: Draft) -> None:
    """Write a draft, whole or not at all. **Raises** OSError."""
    settings = settings_to_json(draft.settings)
    data = {
        "format": FORMAT,
        "version": VERSION,
        "settings": {name: settings[name] for name in AGREED},
        "params": _to_json(draft.settings.params),
        "initial_model": draft.initial_model.hex(),
        "validators": [key.hex() for key in draft.validators],
        "trainers": [key.hex() for key in draft.trainers],
    }
    write_atomically(path, [json.dumps(data, indent=2).encode() + b"\n"])


def load_draft(path: Path) -> Draft:
    """Return the draft in a file. **Raises** DataError when it is missing, none, or damaged."""
    try:
        text = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(
            f"Cannot read the draft {path}: {error.strerror}; check the path and its permissions."
        ) from error
    if text is None:
        raise DataError(f"There is no draft {path}; make one with: flobc genesis new --draft {path}")
    try:
        data = json.loads(text)
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            raise ValueError(f"expected version {VERSION} of {FORMAT}")
        return _read_draft(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as error:
        raise DataError(f"The file {path} is no usable draft ({error}); take it from its organiser again.") from error


def _read_draft(data: dict[str, Any]) -> Draft:
    params = _read_record(ChainParams, data["params"])
    validate_chain_params(params)
    defaults = settings_to_json(RunSettings())
    given = data["settings"]
    for name in AGREED:
        if type(given[name]) is not type(defaults[name]):
            raise TypeError(f"{name}: expected {type(defaults[name]).__name__}, found {type(given[name]).__name__}")
    settings = RunSettings(**{name: given[name] for name in AGREED}, params=params)
    validate_settings(settings)
    keys = {role: tuple(map(_read_hex, data[role])) for role in ("validators", "trainers")}
    return Draft(settings, _read_hex(data["initial_model"]), keys["validators"], keys["trainers"])


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: _to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return value.hex() if isinstance(value, bytes) else value


def _read_record(kind: Any, data: Any) -> Any:
    """Return the dataclass that ``data`` describes; every field must be there, and of its type."""
    hints = typing.get_type_hints(kind)
    if not isinstance(data, dict) or set(data) != set(hints):
        raise ValueError(f"expected the fields {', '.join(hints)}")
    return kind(**{name: _read_field(name, hint, data[name]) for name, hint in hints.items()})


def _read_field(name: str, hint: Any, found: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read_record(hint, found)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return None if found is None else _read_field(name, typing.get_args(hint)[0], found)
    if hint is bytes:
        return _read_hex(found)
    expected = str if typing.get_origin(hint) is typing.Literal else hint
    if type(found) is not expected:
        raise TypeError(f"{name}: expected {expected.__name__}, found {found!r}")
    return found


def _read_hex(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) != 64:
        raise ValueError(f"expected 64 hex digits, found {text!r}")
    return bytes.fromhex(text)
