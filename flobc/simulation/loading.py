"""From a file to a scenario that can be simulated, or to the one sentence that says why not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc.composition.presets import get_preset
from flobc.composition.settings import RunSettings, validate_settings
from flobc.protocol.params import validate_chain_params
from flobc.simulation.checking import check_scenario
from flobc.simulation.document import Node, Source, load_text, parse_document
from flobc.simulation.joining import derive_operator
from flobc.simulation.reading import read_record
from flobc.simulation.scenario import Scenario, get_given

TARGETS = {
    "task": "task",
    "trainers": "trainers",
    "validators": "validators",
    "rounds": "rounds",
    "seed": "seed",
    "sync": "params.sync.scheme",
    "majority_ratio": "params.sync.majority_ratio_ppm",
    "period": "params.sync.period_ms",
    "max_staleness": "params.sync.max_staleness",
    "quota": "params.sync.quota",
    "min_updates": "params.sync.min_updates",
    "liveness_rounds": "params.sync.liveness_rounds",
    "trust": "params.trust.policy",
    "aggregator": "params.aggregation.rule",
    "byzantine_share": "params.aggregation.byzantine_ppm",
    "trim_share": "params.aggregation.trim_ppm",
    "codec": "params.codec",
    "score_metric": "params.scoring.metric",
    "accept_tolerance": "params.scoring.accept_tolerance",
    "min_mass": "params.weights.min_mass_ppm",
    "max_share": "params.weights.max_share_ppm",
    "norm_factor": "params.aggregation.norm_factor_ppm",
    "admission": "params.admission.mode",
    "max_trainers": "params.admission.max_trainers",
    "max_joins": "params.admission.max_joins_per_block",
}
"""Which setting of a run each key of ``run`` changes."""


@dataclass(frozen=True)
class World:
    """A scenario that was checked, the settings of a run that follow from it, and the file's text, if it has one."""

    scenario: Scenario
    settings: RunSettings
    text: str = ""


def load_world(path: Path, changes: dict[str, Any] | None = None, data_directory: Path | None = None) -> World:
    """Return the world that a file describes.

    ``changes`` replace keys of its ``run``; ``data_directory`` is where data sets lie unless it says so itself.

    **Raises** DataError when it cannot be read, UsageError naming file, line and key.
    """
    return read_world(path.name, load_text(path), changes, data_directory)


def read_world(
    name: str, text: str, changes: dict[str, Any] | None = None, data_directory: Path | None = None
) -> World:
    """As ``load_world``, from a text. **Raises** UsageError naming ``name``, line and key."""
    source, root = parse_document(name, text)
    return dataclasses.replace(check_world(source, root, changes, data_directory), text=text)


def check_world(
    source: Source, root: Node, changes: dict[str, Any] | None = None, data_directory: Path | None = None
) -> World:
    """As ``read_world``, from the root node of a document. **Raises** UsageError naming ``source``, line and key."""
    scenario = read_record(source, "", root, Scenario)
    scenario = dataclasses.replace(
        scenario,
        run=dataclasses.replace(scenario.run, **(changes or {})),
        data=dataclasses.replace(scenario.data, directory=scenario.data.directory or data_directory),
    )
    settings = build_settings(scenario)
    check_scenario(scenario, settings, source)
    return World(scenario, settings)


def build_settings(scenario: Scenario) -> RunSettings:
    """Return the run that a scenario asks for: its preset with what was given. **Raises** UsageError."""
    settings: RunSettings = get_preset(scenario.run.preset)
    for name, value in get_given(scenario.run).items():
        if name in TARGETS:
            settings = _set(settings, TARGETS[name], value)
    settings = dataclasses.replace(
        settings,
        training=merge_training(settings.training, get_given(scenario.training)),
        sharding=scenario.data.sharding or settings.sharding,
        data_directory=scenario.data.directory,
        attacks=scenario.attacks.trainers,
    )
    if scenario.run.max_trainers is None:
        most = max(settings.trainers, settings.params.admission.max_trainers)
        settings = _set(settings, "params.admission.max_trainers", most)
    if scenario.run.admission == "invite":
        settings = _set(settings, "params.admission.operator", derive_operator(settings.seed).public_key)
    validate_settings(settings)
    validate_chain_params(settings.params)
    return settings


def merge_training(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a preset's training settings with what is given; epochs take the place of steps, and steps of epochs."""
    lengths = ("epochs", "steps")
    replaced = lengths if any(name in given for name in lengths) else ()
    return {**{name: value for name, value in before.items() if name not in replaced}, **given}


def _set(settings: RunSettings, target: str, value: Any) -> RunSettings:
    changed: RunSettings = _replace(settings, target.split("."), value)
    return changed


def _replace(holder: Any, target: list[str], value: Any) -> Any:
    first, *rest = target
    inner = _replace(getattr(holder, first), rest, value) if rest else value
    return dataclasses.replace(holder, **{first: inner})
