"""A load plan as a file: YAML whose every mistake is named with its key."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from flobc.adapters.filesystem import read_regular
from flobc.composition.scaling.plan import Drain, LoadPlan, Step, Window, parse_ratio
from flobc.errors import DataError, UsageError
from flobc.learning.suggest import suggest

_MAX_BYTES = 1 << 20
_PLAN = (
    *("name", "nodes", "ratios", "steps", "repeats", "warm_up", "measure", "drain", "ready_timeout_s"),
    *("max_machine_share", "system"),
)
_STEP = ("trainers", "validators")
_WINDOW = ("seconds", "rounds")
_DRAIN = ("quiet_s", "timeout_s")
_MOST = 10**6


def load_load_plan(path: Path) -> LoadPlan:
    """Return the plan in a file. **Raises** DataError when it cannot be read, UsageError naming the first wrong key."""
    try:
        text = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"Cannot read the plan {path}: {error.strerror}; check the path.") from error
    if text is None:
        raise DataError(f"There is no plan {path}; docs/load.md shows one.")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise DataError(f"The plan {path} repeats parts by aliases (*name); write them out.")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise DataError(f"The plan {path} is no YAML ({words}); mend it there.") from error
    try:
        return dataclasses.replace(read_plan(data, path.stem), source=text.decode())
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from error


def read_plan(data: Any, name: str) -> LoadPlan:
    """Return the plan that ``data`` describes; ``name`` is its own unless it has one. **Raises** UsageError."""
    plan = _read_map("the plan", data, _PLAN)
    default = LoadPlan(name, ())
    return LoadPlan(
        name=_read_text("name", plan.get("name", name)),
        steps=_read_steps(plan),
        repeats=_read_whole("repeats", plan.get("repeats", default.repeats), 1),
        warm_up=_read_window("warm_up", plan["warm_up"]) if "warm_up" in plan else default.warm_up,
        measure=_read_window("measure", plan["measure"]) if "measure" in plan else default.measure,
        drain=_read_drain(plan.get("drain", {})),
        ready_timeout_s=_read_seconds("ready_timeout_s", plan.get("ready_timeout_s", default.ready_timeout_s)),
        max_machine_share=_read_share("max_machine_share", plan.get("max_machine_share", default.max_machine_share)),
        system=_read_system(plan.get("system", {})),
    )


def _read_steps(plan: dict[str, Any]) -> tuple[Step, ...]:
    if ("steps" in plan) == ("ratios" in plan):
        raise UsageError("give either steps (trainers and validators of each) or nodes with ratios, and one of them.")
    if ("nodes" in plan) != ("ratios" in plan):
        raise UsageError('nodes and ratios go together, such as nodes: 10 and ratios: ["7:3", "6:4"].')
    if "steps" in plan:
        found = [_read_step(f"steps[{place}]", item) for place, item in _read_list("steps", plan["steps"])]
    else:
        nodes = _read_whole("nodes", plan["nodes"], 2)
        found = [_read_ratio(f"ratios[{place}]", item, nodes) for place, item in _read_list("ratios", plan["ratios"])]
    twice = next((step for place, step in enumerate(found) if step in found[:place]), None)
    if twice is not None:
        raise UsageError(f"the mix {twice.name} stands there twice; repeats says how often each is measured.")
    return tuple(found)


def _read_step(key: str, data: Any) -> Step:
    step = _read_map(key, data, _STEP)
    for name in _STEP:
        if name not in step:
            raise UsageError(f"{key} lacks {name}; give the numbers of trainers and of validators.")
    return Step(*(_read_whole(f"{key}.{name}", step[name], 1) for name in _STEP))


def _read_ratio(key: str, data: Any, nodes: int) -> Step:
    if isinstance(data, int):  # YAML 1.1 reads an unquoted 7:30 as a number of base 60
        raise UsageError(f"{key} must be a text such as '7:3'; put it in quotation marks.")
    try:
        return parse_ratio(_read_text(key, data), nodes)
    except UsageError as error:
        raise UsageError(f"{key} {error}" if not str(error).startswith(key) else str(error)) from error


def _read_window(key: str, data: Any) -> Window:
    window = _read_map(key, data, _WINDOW)
    if len(window) != 1:
        raise UsageError(f"{key} takes either seconds or rounds, and one of them.")
    if "rounds" in window:
        return Window(rounds=_read_whole(f"{key}.rounds", window["rounds"], 1))
    return Window(seconds=_read_seconds(f"{key}.seconds", window["seconds"]))


def _read_drain(data: Any) -> Drain:
    drain = _read_map("drain", data, _DRAIN)
    return Drain(**{name: _read_seconds(f"drain.{name}", value) for name, value in drain.items()})


def _read_system(data: Any) -> tuple[tuple[str, str], ...]:
    """Options of ``flobc up`` as names and texts; which there are is known where they are read."""
    if not isinstance(data, dict):
        raise UsageError(f"system must be options of flobc up, such as task: digits, not {reprlib.repr(data)}.")
    for name, value in data.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise UsageError(f"system.{name} must be a text or a number, not {reprlib.repr(value)}.")
        if name in _STEP:
            raise UsageError(f"system.{name} is what the steps say; leave it out.")
    return tuple((str(name), str(value)) for name, value in data.items())


def _read_map(key: str, data: Any, known: Iterable[str]) -> dict[str, Any]:
    names = tuple(known)
    if not isinstance(data, dict):
        raise UsageError(f"{key} must have the keys {', '.join(names)}, but is {reprlib.repr(data)}.")
    for name in data:
        if name not in names:
            place = "" if key == "the plan" else f"{key}."
            raise UsageError(f"there is no key {place}{name}{suggest(str(name), names)} Known: {', '.join(names)}.")
    return data


def _read_list(key: str, data: Any) -> list[tuple[int, Any]]:
    if not isinstance(data, list) or not data:
        raise UsageError(f"{key} must be a list with one item at least, not {reprlib.repr(data)}.")
    return list(enumerate(data))


def _read_text(key: str, data: Any) -> str:
    if not isinstance(data, str) or not data.strip():
        raise UsageError(f"{key} must be a text, not {reprlib.repr(data)}.")
    return data


def _read_whole(key: str, data: Any, least: int) -> int:
    if isinstance(data, bool) or not isinstance(data, int) or not least <= data <= _MOST:
        raise UsageError(f"{key} must be a whole number from {least} to {_MOST}, not {reprlib.repr(data)}.")
    return data


def _read_seconds(key: str, data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, (int, float)) or not 0 < data <= _MOST:
        raise UsageError(f"{key} must be a number of seconds above 0, not {reprlib.repr(data)}.")
    return float(data)


def _read_share(key: str, data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, (int, float)) or not 0 < data <= 1:
        raise UsageError(f"{key} must be a share above 0 and up to 1, not {reprlib.repr(data)}.")
    return float(data)
