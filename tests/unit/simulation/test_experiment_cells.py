"""Which cells an experiment has, what their worlds are, and what makes two of them one."""

import dataclasses
from pathlib import Path

import pytest

from flobc.errors import DataError
from flobc.simulation.experiments import cells as cells_module
from flobc.simulation.experiments.cells import Cell, Extent, list_cells
from flobc.simulation.experiments.loading import list_experiments, load_experiment, read_experiment
from flobc.simulation.experiments.running import Order, require_data_sets, run_experiment
from flobc.simulation.experiments.storage import has_cell
from flobc.simulation.experiments.workers import Finished
from flobc.simulation.loading import read_world
from tests.support.experiments import TINY

TWO_AXES = """
title: Two
question: Which?
seeds: 1
world:
  run: {task: "examples.numpy_task:task", trainers: 4, validators: 4, rounds: 2, sync: bsp}
quick:
  run: {trainers: 2}
parts:
  - name: both
    vary: VARY
    axes:
      - {name: trust, key: run.trust, values: [none, flobc_plus]}
      - name: attack
        points:
          - {name: nobody}
          - {name: a quarter, at: 25, world: {attacks: {trainers: [nan@0.25]}}}
          - {name: half, at: 50, world: {run: {rounds: 5}, attacks: {trainers: [nan@0.5]}}}
"""


def list_all(text: str, extent: Extent | None = None) -> list[Cell]:
    return list_cells("made.yaml", read_experiment("made.yaml", text).experiment, extent or Extent())


def test_a_grid_has_every_point_with_every_other() -> None:
    cells = list_all(TWO_AXES.replace("VARY", "grid"))
    assert [cell.points for cell in cells] == [
        (("trust", trust), ("attack", attack))
        for trust in ("none", "flobc_plus")
        for attack in ("nobody", "a quarter", "half")
    ]
    assert len({cell.digest for cell in cells}) == 6


def test_one_axis_at_a_time_starts_from_the_first_points() -> None:
    cells = list_all(TWO_AXES.replace("VARY", "one_at_a_time"))
    assert [tuple(point for _, point in cell.points) for cell in cells] == [
        ("none", "nobody"),
        ("flobc_plus", "nobody"),
        ("none", "a quarter"),
        ("none", "half"),
    ]


def test_a_cell_s_text_is_its_whole_world() -> None:
    """What stands in a cell's file is a scenario that ``flobc simulate`` takes."""
    cell = next(
        cell
        for cell in list_all(TWO_AXES.replace("VARY", "grid"))
        if cell.points == (("trust", "none"), ("attack", "half"))
    )
    world = read_world("cell.yaml", cell.text)
    assert (world.settings.rounds, world.settings.trainers, world.settings.seed) == (5, 4, 1)
    assert world.settings.params.trust.policy == "none"
    assert world.settings.attacks == ("nan@0.5",)


def test_quick_is_one_seed_and_few_rounds_of_a_smaller_world() -> None:
    cells = list_all(TWO_AXES.replace("VARY", "grid").replace("seeds: 1", "seeds: 4"), Extent(quick=True))
    settings = [read_world("cell.yaml", cell.text).settings for cell in cells]
    assert {(each.rounds, each.trainers, each.seed) for each in settings} == {(3, 2, 1)}
    assert len(cells) == 6


def test_the_digest_covers_world_seed_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    first = list_all(TINY)
    assert [cell.digest for cell in first] == [
        cell.digest for cell in list_all(TINY.replace("title: Tiny", "title: T"))
    ]
    others = [list_all(TINY.replace("sync: bsp", "sync: ssp")), list_all(TINY.replace("rounds: 2", "rounds: 3"))]
    monkeypatch.setattr(cells_module, "__version__", "another")
    others.append(list_all(TINY))
    digests = [cell.digest for cells in (first, *others) for cell in cells]
    assert len(set(digests)) == len(digests) == 16


def test_a_default_written_out_is_the_same_cell() -> None:
    written = [cell.digest for cell in list_all(TINY.replace("rounds: 2", "rounds: 2, preset: default"))]
    assert written == [cell.digest for cell in list_all(TINY)]


@pytest.mark.parametrize("name", sorted(list_experiments()))
def test_shipped_experiment(name: str) -> None:
    """Each of its worlds can be, and every part has seeds, measures and charts."""
    loaded = load_experiment(name)
    experiment = dataclasses.replace(loaded.experiment, seeds=1)
    cells = list_cells(f"{name}.yaml", experiment, Extent(seeds=1))
    assert {cell.part for cell in cells} == {part.name for part in experiment.parts}
    assert all(part.measures and part.charts for part in experiment.parts)
    quick = list_cells(f"{name}.yaml", experiment, Extent(quick=True))
    assert len(quick) == len(cells)


def test_a_data_set_that_is_not_here_is_told_before_anything_is_done(tmp_path: Path) -> None:
    """Else cells fail one after the other, and half a page is written."""
    data, out = tmp_path / "data", tmp_path / "out"
    text = TINY.replace("examples.numpy_task:task", "mnist:mlp")
    loaded = read_experiment("tiny.yaml", text)
    cells = list_all(text, Extent(data_directory=data))
    assert {cell.data_set for cell in cells} == {data / "mnist"}
    with pytest.raises(DataError, match=r"There is no mnist in .*one/none/seed-1 .* flobc data fetch mnist --data-dir"):
        run_experiment(loaded, Order(Extent(data_directory=data)), out, RefusingWatcher())
    assert not out.exists()


class RefusingWatcher:
    """Whom nothing may be told."""

    def on_start(self, cells: int, missing: int) -> None:
        pytest.fail(f"began with {missing} of {cells}")

    def on_cell(self, finished: Finished) -> None:
        pytest.fail(f"{finished.cell.name} was carried out")


def test_cells_that_are_there_need_no_data_set(tmp_path: Path) -> None:
    data = tmp_path / "data"
    cells = list_all(TINY.replace("examples.numpy_task:task", "mnist:mlp"), Extent(data_directory=data))
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"{cells[0].digest}.json").touch()
    assert [has_cell(tmp_path, cell) for cell in cells[:2]] == [True, False]
    (data / "mnist").mkdir(parents=True)
    require_data_sets(cells)
    assert {cell.data_set for cell in list_all(TINY)} == {None}
