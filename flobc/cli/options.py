"""The options of ``flobc run``: one table that says for each what it takes and which setting it changes.

A target is a path of field names inside ``RunSettings``; ``training`` is a dict of overrides of the
task's own settings. Nothing here imports a model or an array library, so ``--help`` stays quick.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flobc.cli import kinds
from flobc.cli.kinds import Kind
from flobc.protocol.bounds import PPM
from flobc.protocol.sync.params import SCHEMES
from flobc.protocol.trust.params import POLICIES

if TYPE_CHECKING:
    from flobc.composition.settings import RunSettings

PRESET_NAMES = ("default", "paper", "prototype")
RULES = (
    "weighted_mean",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "geometric_median",
    "centered_clipping",
    "norm_clip",
    "coherence_filter",
)
CODECS = ("float32", "int16", "int8")


@dataclass(frozen=True)
class Option:
    """One option: ``node`` says that a run may be resumed with another value, as it is not part of the chain."""

    flag: str
    target: str
    kind: Kind
    help: str
    node: bool = False
    repeatable: bool = False

    @property
    def name(self) -> str:
        """The option's name in parsed arguments."""
        return self.flag.lstrip("-").replace("-", "_")


def check_scheme(given: str) -> None:
    """Check a sharding scheme. **Raises** UsageError."""
    from flobc.learning.shards import parse_scheme  # noqa: PLC0415

    parse_scheme(given)


def check_attack(given: str) -> None:
    """Check an attack. **Raises** UsageError."""
    from flobc.learning.attacks import parse_attack  # noqa: PLC0415

    parse_attack(given)


FEDERATION = (
    Option("--task", "task", kinds.text("TASK"), "what to learn: see flobc tasks, or package.module:object"),
    Option("--trainers", "trainers", kinds.whole(1, 10_000), "how many learn on their own shard"),
    Option("--validators", "validators", kinds.whole(1, 1_000), "how many score and seal; 4 tolerate one faulty"),
    Option("--rounds", "rounds", kinds.whole(1), "go on until the chain has so many blocks", node=True),
    Option("--seed", "seed", kinds.seed(), "one seed gives one chain; 0 unless given"),
    Option(
        "--sharding",
        "sharding",
        kinds.text("SCHEME", check_scheme),
        "how training data is dealt out: iid, shared (all to everybody), dirichlet:0.5, label:2 or quantity:0.5",
    ),
)
CHAIN = (
    Option("--sync", "params.sync.scheme", kinds.choice(*SCHEMES), "synchronisation scheme"),
    Option(
        "--majority-ratio",
        "params.sync.majority_ratio_ppm",
        kinds.scaled(PPM, "0.000001", "1"),
        "share of the active trainers that closes a bap round, and the least that closes an adaptive one",
    ),
    Option(
        "--period",
        "params.sync.period_ms",
        kinds.scaled(1000, "0.001", "604800", "SECONDS"),
        "a round's deadline in seconds",
    ),
    Option(
        "--max-staleness",
        "params.sync.max_staleness",
        kinds.heights(),
        "how many heights an update's base may lie behind",
    ),
    Option("--quota", "params.sync.quota", kinds.whole(1, 1_000_000), "updates one trainer may publish from one base"),
    Option("--trust", "params.trust.policy", kinds.choice(*POLICIES), "reward-penalty policy"),
    Option("--aggregator", "params.aggregation.rule", kinds.choice(*RULES), "rule that makes the next model"),
    Option(
        "--byzantine-share",
        "params.aggregation.byzantine_ppm",
        kinds.scaled(PPM, "0", "0.49"),
        "share of bad updates that krum and multi_krum assume",
    ),
    Option(
        "--trim-share",
        "params.aggregation.trim_ppm",
        kinds.scaled(PPM, "0", "0.49"),
        "share that trimmed_mean drops at each end",
    ),
    Option("--codec", "params.codec", kinds.choice(*CODECS), "how updates are encoded"),
    Option("--score-metric", "params.scoring.metric", kinds.choice("loss", "accuracy"), "what validators score by"),
    Option(
        "--accept-tolerance",
        "params.scoring.accept_tolerance",
        kinds.scaled(PPM, "0", "1"),
        "how far below 0 the median score of an accepted update may lie",
    ),
)
TRAINING = (
    Option("--optimizer", "training.optimizer", kinds.choice("sgd", "adam"), "local optimizer"),
    Option("--learning-rate", "training.learning_rate", kinds.number(zero=False), "local learning rate"),
    Option("--momentum", "training.momentum", kinds.number(zero=True), "momentum of sgd"),
    Option("--batch-size", "training.batch_size", kinds.whole(1), "examples per step"),
    Option("--epochs", "training.epochs", kinds.whole(1), "passes over the shard per update"),
    Option("--steps", "training.steps", kinds.whole(1), "batches per update, instead of --epochs"),
    Option("--proximal-mu", "training.proximal_mu", kinds.number(zero=True), "pull towards the received model"),
)
ATTACKS = (
    Option(
        "--attack",
        "attacks",
        kinds.text("SPEC", check_attack),
        "NAME:key=value@SHARE, such as gaussian:std=0.05@0.3; may be given again",
        repeatable=True,
    ),
)
NOISE_STEP = Option(
    "--noise-step",
    "",
    kinds.number(zero=True),
    "noise that grows with the trainer's number: --attack noise_step:step=X",
)
MACHINE = (
    Option(
        "--clock",
        "clock",
        kinds.choice("virtual", "wall"),
        "virtual repeats exactly; wall uses real time and real deadlines",
    ),
    Option("--device", "device", kinds.choice("auto", "cpu", "cuda"), "what torch computes on", node=True),
    Option("--workers", "workers", kinds.whole(0, 1_024), "threads; 0 is one per core", node=True),
    Option("--data-dir", "data_directory", kinds.path(), "where data sets lie (also FLOBC_DATA_DIR)", node=True),
)
GROUPS: Mapping[str, tuple[Option, ...]] = {
    "federation": FEDERATION,
    "chain (fixed for its life)": CHAIN,
    "local training (default: the task's own)": TRAINING,
    "attacks": (*ATTACKS, NOISE_STEP),
    "machine": MACHINE,
}
OPTIONS: tuple[Option, ...] = (*FEDERATION, *CHAIN, *TRAINING, *ATTACKS, *MACHINE)


@dataclass(frozen=True)
class Given:
    """What a person asked for: the preset if named, and a value for each option that was given, in table order."""

    preset: str | None
    values: tuple[tuple[Option, Any], ...]


def read_options(arguments: Mapping[str, Any]) -> Given:
    """Read the texts of parsed arguments. **Raises** UsageError at the first that is not what its option takes."""
    preset = arguments.get("preset")
    if preset is not None:
        preset = kinds.choice(*PRESET_NAMES).read("--preset", preset)
    texts = {name: value for name, value in arguments.items() if value is not None}
    if NOISE_STEP.name in texts:
        step = NOISE_STEP.kind.read(NOISE_STEP.flag, texts[NOISE_STEP.name])
        texts["attack"] = [*texts.get("attack", []), f"noise_step:step={step:g}"]
    values = []
    for option in OPTIONS:
        if option.name not in texts:
            continue
        if option.repeatable:
            values.append((option, tuple(option.kind.read(option.flag, item) for item in texts[option.name])))
        else:
            values.append((option, option.kind.read(option.flag, texts[option.name])))
    return Given(preset, tuple(values))


def get_setting(settings: RunSettings, target: str) -> Any:
    """Return what stands at ``target``; None for a training setting that is the task's own."""
    value: Any = settings
    for part in target.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part)
    return value


def apply_option(settings: RunSettings, option: Option, value: Any) -> RunSettings:
    """Return the settings with ``value`` at the option's target."""
    changed: RunSettings = _replace(settings, option.target.split("."), value)
    return changed


def _replace(holder: Any, target: list[str], value: Any) -> Any:
    first, *rest = target
    if isinstance(holder, dict):
        return {**holder, first: value}
    inner = _replace(getattr(holder, first), rest, value) if rest else value
    return dataclasses.replace(holder, **{first: inner})


def apply_options(settings: RunSettings, given: Given) -> RunSettings:
    """Return the settings with everything that was given; what was not given stays as it is."""
    for option, value in given.values:
        settings = apply_option(settings, option, value)
    return settings


def find_conflict(stored: RunSettings, given: Given) -> tuple[str, str, str] | None:
    """Return the first given option that a stored run contradicts: its flag, the run's value and the asked one."""
    if given.preset is not None and given.preset != stored.preset:
        return "--preset", stored.preset, given.preset
    for option, value in given.values:
        found = get_setting(stored, option.target)
        if not option.node and found != value:
            return option.flag, show_setting(option, found), show_setting(option, value)
    return None


def show_setting(option: Option, value: Any) -> str:
    """Return a setting as the text that a person would give."""
    if option.repeatable:
        return " ".join(option.kind.show(item) for item in value) or "none"
    return "the task's own" if value is None and option.target.startswith("training.") else option.kind.show(value)
