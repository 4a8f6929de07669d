"""The table must not flatter: ratios, bars, missing values and noise are judged as they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import arrays, figures, peer, run
from tests.bench.figures import Figure, Source, judge, merge_reports

OURS = Source("bench_numerics", ("rule_s",))
PEER = Source("flower_aggregation", ("slow_s", "fast_s"))
FASTER = Figure("rule / peer", OURS, PEER, 0.5, "s", "lower")
SPEED = Figure("speed", Source("bench_numerics", ("gb_s",)), None, 1.5, "GB/s", "higher")


def test_the_peers_best_form_is_the_one_compared_with():
    row = judge(FASTER, {"bench_numerics": {"rule_s": 1.0}, "flower_aggregation": {"slow_s": 9, "fast_s": 2}})
    assert (row.peer, row.ratio, row.met) == (2, 0.5, True)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_bar_bounds_the_ratio_where_there_is_a_peer(ours, theirs):
    row = judge(FASTER, {"bench_numerics": {"rule_s": ours}, "flower_aggregation": {"fast_s": theirs}})
    assert row.met == (ours / theirs <= 0.5)


@given(st.floats(0.01, 100))
def test_a_bar_bounds_our_own_value_where_there_is_none(value):
    assert judge(SPEED, {"bench_numerics": {"gb_s": value}}).met == (value >= 1.5)


@pytest.mark.parametrize("reports", [{}, {"bench_numerics": {"rule_s": 1.0}}, {"flower_aggregation": {"fast_s": 1}}])
def test_what_was_not_measured_is_neither_met_nor_missed(reports):
    row = judge(FASTER, reports)
    assert row.met is None
    assert "not measured" in run.format_table([row])


def test_a_median_far_above_the_fastest_repeat_is_marked():
    quiet = {"bench_numerics": {"rule_s": 1.0, "rule_s_min": 0.9}, "flower_aggregation": {"fast_s": 4}}
    noisy = {"bench_numerics": {"rule_s": 1.0, "rule_s_min": 0.5}, "flower_aggregation": {"fast_s": 4}}
    assert (judge(FASTER, quiet).noisy, judge(FASTER, noisy).noisy) == (False, True)
    assert "yes~" in run.format_table([judge(FASTER, noisy)])


def test_passes_merge_to_the_median_of_medians_and_the_least_minimum():
    merged = merge_reports([{"a_s": 3.0, "a_s_min": 1.0, "b_s": 4.0}, {"a_s": 5.0, "a_s_min": 2.0, "b_s": 2.0}])
    assert merged == {"a_s": 4.0, "a_s_min": 1.0, "b_s": 3.0, "b_s_min": 2.0}


def test_every_figure_has_its_own_name_and_a_bar():
    names = [figure.name for figure in figures.FIGURES]
    assert len(set(names)) == len(names)
    assert all(figure.bar is not None for figure in figures.FIGURES)


def test_each_program_runs_once_a_pass_and_only_for_keys_that_are_wanted():
    wanted = run.list_benches(run.select_figures("median"))
    assert wanted == {
        "bench_numerics": ["median_s"],
        "flower_aggregation": ["median_arrays_s", "median_messages_s"],
    }


def test_an_unknown_figure_is_refused_with_the_names_there_are():
    with pytest.raises(SystemExit, match="int16 encode and hash"):
        run.select_figures("no such figure")


@pytest.mark.parametrize(
    ("troubles", "require_peer", "code"),
    [
        ({}, True, 0),
        ({"flower_simulation": "no"}, False, 0),
        ({"flower_simulation": "no"}, True, 1),
        ({"bench_round": "no"}, False, 1),
    ],
)
def test_the_exit_code_says_whose_figures_are_missing(troubles, require_peer, code):
    assert run.choose_exit_code(troubles, require_peer) == code


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(run.BenchError, match=r"bench_nothing\.py does not exist"):
        run.run_program(Path(sys.executable), "bench_nothing", [])


@pytest.mark.parametrize("text", ['{"a_s": 1.5}', 'warming up\n{\n  "a_s": 1.5\n}\n'])
def test_a_report_is_read_whether_on_one_line_or_many(text):
    assert run.parse_report("bench", text) == json.loads('{"a_s": 1.5}')


def test_a_report_that_is_no_json_is_refused():
    with pytest.raises(run.BenchError, match="expected one JSON object"):
        run.parse_report("bench", "Segmentation fault")


def test_other_pins_make_another_environment(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text("flwr==1.0\n", encoding="utf-8")
    before = peer.compute_stamp(pins)
    pins.write_text("flwr==1.1\n", encoding="utf-8")
    assert peer.compute_stamp(pins) != before


def test_a_step_that_fails_ends_in_one_sentence():
    with pytest.raises(peer.PeerError, match=r"could not be installed: .* exited with 3 \(no room\)"):
        peer.run_step([sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"])


def test_both_sides_draw_the_same_arrays():
    updates = arrays.build_updates(clients=3, parameters=1000)
    assert np.array_equal(updates, arrays.build_updates(clients=3, parameters=1000))
    assert np.array_equal(updates[:2], arrays.build_updates(clients=2, parameters=1000))
    assert updates.dtype == np.float32
    assert 0.9e-3 < updates.std() < 1.1e-3
    assert sum(layer.size for layer in arrays.split_layers(updates[0])) == 1000


def test_no_two_clients_of_a_round_train_alike():
    trained = [arrays.build_perturbation(client, 100_000) for client in range(arrays.ROUND_CLIENTS)]
    assert len({array.tobytes() for array in trained}) == arrays.ROUND_CLIENTS
