"""Every mistake in an experiment is one sentence with file, line, key, and what was probably meant."""

import pytest

from flobc.errors import DataError, UsageError
from flobc.simulation.experiments.cells import Extent, list_cells
from flobc.simulation.experiments.loading import load_experiment, read_experiment
from tests.support.experiments import TINY

AXIS = "      - {name: trust, key: run.trust, values: [none, flobc_plus]}"

# what is replaced by what, the line and key that must be named, and what else the sentence must say
MISTAKES = {
    "unknown key": ("seeds: 2", "seed: 2", 4, "seed", "did you mean 'seeds'?"),
    "no seeds": ("seeds: 2", "seeds: 0", 4, "seeds", "from 1"),
    "unknown key of a part": ("    target: 50", "    targets: 50", 9, "parts.0.targets", "did you mean 'target'?"),
    "unknown measure": ("[final_accuracy,", "[final_acuracy,", 12, "parts.0.measures.0", "'final_accuracy'?"),
    "measure without its target": ("    target: 50\n", "", 11, "parts.0.measures.1", "add the key target"),
    "unknown kind of chart": ("kind: points", "kind: dots", 17, "parts.0.charts.3.kind", "one of curves"),
    "chart without what it needs": ("measure: final_accuracy, x", "x", 17, "parts.0.charts.3", "lacks the key measure"),
    "chart of no axis": ("x: trust}", "x: trusts}", 17, "parts.0.charts.3.x", "did you mean 'trust'?"),
    "key that a chart ignores": ("x: round,", "x: round, y: trust,", 14, "parts.0.charts.0.y", "means nothing"),
    "curves over something else": ("x: round", "x: trust", 14, "parts.0.charts.0.x", "round or time"),
    "axis without values": (AXIS, "      - {name: trust, key: run.trust}", 11, "parts.0.axes.0", "key and values"),
    "axis of nothing": (AXIS, "      - {name: trust}", 11, "parts.0.axes.0", "either points or a key"),
    "two points of one name": ("[none, flobc_plus]", "[none, none]", 11, "parts.0.axes.0.values.1", "another one has"),
    "slash in a name": ("name: one", "name: one/two", 8, "parts.0", "a slash divides names"),
    "claim about no part": ("part: one", "part: two", 21, "paper.0.part", "no such part"),
    "claim of nothing": ("    at_least: 50\n", "", 19, "paper.0", "needs one of at_most"),
    "claim about no axis": ("over: trust", "over: turst", 23, "paper.0.over", "did you mean 'trust'?"),
    "claim about no point": ("    over: trust\n", "    of: {trust: nobody}\n", 23, "paper.0.of.trust", "has none"),
    "claim that leaves an axis open": ("    over: trust\n", "", 19, "paper.0.of", "which point of the axis 'trust'"),
}
"""The first line of the text is empty, so the title stands on line 2."""

WORLDS = {
    "unknown key of the world": ("sync: bsp}", "synch: bsp}", 6, "run.synch", "did you mean 'sync'?"),
    "value that the key does not take": ("[none, flobc_plus]", "[none, flobc_pluss]", 11, "run.trust", "'flobc_plus'?"),
    "key that no value reads": ("rounds: 2,", "rounds: 2, quota: 3,", 6, "run.quota", "means nothing while run.sync"),
    "key of an axis that is not there": ("key: run.trust", "key: run.turst", 11, "run.turst", "did you mean 'trust'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_invalid_experiment(mistake: str) -> None:
    old, new, line, key, words = MISTAKES[mistake]
    assert old in TINY
    with pytest.raises(UsageError) as caught:
        read_experiment("bad.yaml", TINY.replace(old, new))
    assert str(caught.value).startswith(f"bad.yaml:{line}: {key} "), str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("mistake", WORLDS)
def test_invalid_world_of_a_cell(mistake: str) -> None:
    """Each world is checked as a scenario's, before anything is computed."""
    old, new, line, key, words = WORLDS[mistake]
    assert old in TINY
    with pytest.raises(UsageError) as caught:
        list_cells("bad.yaml", read_experiment("bad.yaml", TINY.replace(old, new)).experiment, Extent())
    assert str(caught.value).startswith(f"bad.yaml:{line}: {key} "), str(caught.value)
    assert words in str(caught.value)


def test_invalid_key_twice_in_a_piece_of_a_world() -> None:
    """Merging maps must not hide that one of them contradicts itself."""
    with pytest.raises(UsageError, match=r"bad\.yaml:6: world\.run\.rounds is given twice"):
        read_experiment("bad.yaml", TINY.replace("rounds: 2,", "rounds: 2, rounds: 3,"))


def test_invalid_name() -> None:
    with pytest.raises(UsageError, match=r"There is no experiment 'codek'; did you mean 'codec'\?"):
        load_experiment("codek")


def test_missing_file() -> None:
    with pytest.raises(DataError, match=r"There is no experiment nowhere\.yaml; docs/experiments\.md shows one"):
        load_experiment("nowhere.yaml")
