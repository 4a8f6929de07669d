"""A scenario becomes the settings of a run; what it leaves out stays as the preset has it."""

from pathlib import Path

import pytest

from flobc.cli.options import ATTACKS, CHAIN, FEDERATION, TRAINING
from flobc.composition.presets import PRESETS, get_preset
from flobc.errors import DataError
from flobc.protocol.sync.params import UNBOUNDED_STALENESS
from flobc.simulation.distributions import Constant, Lognormal
from flobc.simulation.loading import TARGETS, load_world, read_world
from flobc.simulation.members import Members
from flobc.simulation.scenario import TrainingScenario


def test_every_option_of_a_run_has_its_key() -> None:
    keys = {**{target: name for name, target in TARGETS.items()}, "sharding": "data", "attacks": "attacks"}
    keys |= {f"training.{name}": name for name in TrainingScenario.__dataclass_fields__}
    for option in (*FEDERATION, *CHAIN, *TRAINING, *ATTACKS):
        assert option.target in keys, option.flag
        if option.target in TARGETS.values():
            assert keys[option.target] == option.name


def test_an_empty_scenario_is_the_default_preset() -> None:
    assert read_world("w", "run: {}").settings == get_preset("default")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_it_is_for_a_run(preset: str) -> None:
    assert read_world("w", f"run: {{preset: {preset}}}").settings == get_preset(preset)


def test_what_is_given_replaces_the_presets() -> None:
    settings = read_world(
        "w",
        "run: {preset: paper, sync: bap, majority_ratio: 60%, period: 1.5s, max_staleness: unbounded, codec: int8}\n"
        "training: {learning_rate: 0.25}\ndata: {sharding: 'dirichlet:0.5'}\nattacks: {trainers: [zero@0.5]}",
    ).settings
    sync = settings.params.sync
    assert (sync.scheme, sync.majority_ratio_ppm, sync.period_ms) == ("bap", 600_000, 1_500)
    assert sync.max_staleness == UNBOUNDED_STALENESS
    assert settings.params.codec == "int8"
    assert settings.training == {"steps": 250, "learning_rate": 0.25}
    assert (settings.sharding, settings.attacks, settings.validators) == ("dirichlet:0.5", ("zero@0.5",), 3)


def test_units_are_whole_milliseconds_bytes_and_ppm() -> None:
    scenario = read_world(
        "w",
        "network: {loss: 2.5%, retry: 1 s, validators: {latency: 3ms, up: 1.5GB/s}}\n"
        "speeds: {training: {lognormal: {median: 2min, sigma: 0.5}}}\n"
        "partitions: [{from: 1h, to: 2h, trainers: all, validators: [2, 0, 2]}]",
    ).scenario
    assert (scenario.network.loss, scenario.network.retry) == (25_000, 1_000)
    assert scenario.network.validators.latency == Constant(3)
    assert scenario.network.validators.up == Constant(1_500_000_000)
    assert scenario.speeds.training == Lognormal(120_000, 0.5)
    partition = scenario.partitions[0]
    assert (partition.from_, partition.to) == (3_600_000, 7_200_000)
    assert partition.trainers == Members(share_ppm=1_000_000)
    assert partition.validators.choose(4, 0) == (0, 2)


def test_changes_come_before_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text("run: {seed: 1, rounds: 5}")
    world = load_world(path, {"seed": 7}, tmp_path)
    assert (world.settings.seed, world.settings.rounds, world.settings.data_directory) == (7, 5, tmp_path)
    assert world.text == path.read_text()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no scenario .*nowhere\.yaml"):
        load_world(tmp_path / "nowhere.yaml")
    with pytest.raises(DataError, match="is a directory, not a scenario; name the file in it"):
        load_world(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_bytes(b"run: \xff")
    with pytest.raises(DataError, match="no UTF-8 text"):
        load_world(path)


def test_the_shipped_scenarios_can_be_simulated() -> None:
    paths = sorted((Path(__file__).parents[3] / "examples" / "scenarios").rglob("*.yaml"))
    assert len(paths) >= 5
    for path in paths:
        load_world(path)
