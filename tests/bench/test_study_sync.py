"""The study of schemes takes its worlds from files, and its times from blocks."""

from __future__ import annotations

import pytest

from tests.bench import study_sync
from tests.bench.study_sync import PROFILES, PROFILES_DIRECTORY, SCHEMES, SyncCell, find_time_s, list_cells


def test_every_profile_is_a_world_in_which_every_scheme_runs() -> None:
    assert {path.stem for path in PROFILES_DIRECTORY.glob("*.yaml")} == set(PROFILES)
    for cell in list_cells(5, (1,)):
        sync = cell.build_world().settings.params.sync
        assert sync.scheme == cell.scheme.split()[0]
        assert cell.build_world().settings.rounds == 5
    ratios = [SyncCell("churn", name, 5, 1).build_world().settings.params.sync.majority_ratio_ppm for name in SCHEMES]
    assert ratios[2:4] == [1_000_000, 600_000]


def test_the_time_is_that_of_the_last_of_three_good_blocks() -> None:
    curve = [[1_000, 0.95], [2_000, 0.7], [3_000, 0.9], [4_000, 0.95], [5_000, 0.95]]
    assert find_time_s({"curve": curve}) == 5
    assert find_time_s({"curve": curve}, target=0.8) == 3


def test_a_run_that_does_not_get_there_counts_as_its_last_block() -> None:
    assert find_time_s({"curve": [[1_000, 0.5], [2_500, 0.5], [9_000, 0.6]]}) == 9


@pytest.mark.parametrize(("adaptive_ms", "met"), [(10_400, "yes"), (10_600, "no")])
def test_adaptive_is_held_against_the_best_fixed_scheme(adaptive_ms, met) -> None:
    cells = list_cells(5, (1,))
    last = {"adaptive": adaptive_ms, "bap 0.6": 10_000}
    results = [{"curve": [[last.get(cell.scheme, 20_000), 1.0]] * 3} for cell in cells]
    lines = study_sync.report(cells, results).splitlines()
    assert all(line.split()[-1] == met for line in lines[2:-1])
    assert lines[-1].split()[-1] == "no"
