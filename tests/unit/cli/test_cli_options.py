"""The table of run options: every row changes exactly the setting it names."""

import pytest

from flobc.cli.options import (
    CODECS,
    NOISE_STEP,
    OPTIONS,
    PRESET_NAMES,
    RULES,
    Option,
    apply_option,
    apply_options,
    find_conflict,
    get_setting,
    read_options,
    show_setting,
)
from flobc.composition.presets import PRESETS, get_preset
from flobc.errors import UsageError
from flobc.numerics.codecs import CODEC_NAMES
from flobc.numerics.rules import RULE_NAMES

SAMPLES = {
    "--task": "synthetic",
    "--trainers": "3",
    "--validators": "7",
    "--rounds": "2",
    "--seed": "5",
    "--sharding": "dirichlet:0.5",
    "--sync": "ssp",
    "--majority-ratio": "0.25",
    "--period": "1.5",
    "--max-staleness": "9",
    "--quota": "2",
    "--trust": "none",
    "--aggregator": "krum",
    "--byzantine-share": "0.1",
    "--trim-share": "0.1",
    "--codec": "int8",
    "--score-metric": "accuracy",
    "--accept-tolerance": "0.5",
    "--optimizer": "sgd",
    "--learning-rate": "0.25",
    "--momentum": "0.5",
    "--batch-size": "8",
    "--epochs": "2",
    "--steps": "4",
    "--proximal-mu": "0.125",
    "--attack": "gaussian:std=0.05@0.3",
    "--clock": "wall",
    "--device": "auto",
    "--workers": "2",
    "--data-dir": "/data",
}
by_flag = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)


def read(option: Option, text: str) -> dict[str, object]:
    return {option.name: [text] if option.repeatable else text}


@by_flag
def test_an_option_changes_its_setting_and_no_other(option: Option) -> None:
    before = get_preset("default")
    after = apply_options(before, read_options(read(option, SAMPLES[option.flag])))
    for other in OPTIONS:
        changed = get_setting(before, other.target) != get_setting(after, other.target)
        assert changed == (other is option), other.flag
    assert apply_option(after, option, get_setting(before, option.target)) != after


@by_flag
def test_what_is_shown_is_what_was_given(option: Option) -> None:
    after = apply_options(get_preset("default"), read_options(read(option, SAMPLES[option.flag])))
    assert show_setting(option, get_setting(after, option.target)) == SAMPLES[option.flag]


@by_flag
def test_a_stored_run_contradicts_all_but_the_node_s_own_options(option: Option) -> None:
    given = read_options(read(option, SAMPLES[option.flag]))
    conflict = find_conflict(get_preset("default"), given)
    assert (conflict is None) == option.node
    assert conflict is None or conflict[0] == option.flag
    assert find_conflict(apply_options(get_preset("default"), given), given) is None


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_a_preset_is_overridden_by_given_options_alone(preset: str) -> None:
    settings = apply_options(get_preset(preset), read_options({"trainers": "9", "sync": None}))
    assert settings.trainers == 9
    assert apply_option(settings, OPTIONS[1], get_preset(preset).trainers) == get_preset(preset)


def test_another_preset_than_the_run_s_is_a_conflict() -> None:
    conflict = find_conflict(get_preset("paper"), read_options({"preset": "prototype"}))
    assert conflict == ("--preset", "paper", "prototype")
    assert find_conflict(get_preset("paper"), read_options({"preset": "paper"})) is None


def test_noise_step_is_an_attack_of_all_trainers() -> None:
    given = read_options({NOISE_STEP.name: "0.1", "attack": None})
    assert apply_options(get_preset("default"), given).attacks == ("noise_step:step=0.1",)


def test_attacks_add_up() -> None:
    given = read_options({"attack": ["nan@0.2", "zero@0.2"], NOISE_STEP.name: None})
    assert apply_options(get_preset("default"), given).attacks == ("nan@0.2", "zero@0.2")


@pytest.mark.parametrize("arguments", [{"attack": ["nan", "nna"]}, {"sharding": "label"}, {"preset": "papre"}])
def test_invalid_specs(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        read_options(arguments)


def test_the_names_in_the_help_are_those_of_the_library() -> None:
    assert set(PRESET_NAMES) == set(PRESETS)
    assert set(CODECS) == set(CODEC_NAMES)
    assert set(RULES) == set(RULE_NAMES)
