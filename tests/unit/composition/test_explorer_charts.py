"""Charts that people can read: round ticks, all points inside, and words for who cannot see them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.composition.explorer.charts import HEIGHT, WIDTH, Series, draw_chart, list_ticks
from flobc.composition.explorer.rendering import show_millionths, show_percent, show_size

VALUES = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 10**9), VALUES), min_size=1, max_size=20))
def test_every_point_lies_inside(points: list[tuple[int, float]]) -> None:
    text = draw_chart("Loss", "loss", [Series("one", sorted(points))])
    drawn = re.findall(r'points="([^"]*)"', text)[0].split()
    assert len(drawn) == len(points)
    for pair in drawn:
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


@given(VALUES, st.floats(1e-6, 1e9))
def test_ticks_are_few_and_reach_over_the_range(low: float, span: float) -> None:
    high = low + max(span, abs(low) * 1e-3)
    ticks = list_ticks(low, high)
    slack = (high - low) * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 8


def test_a_chart_is_told_in_words_and_its_names_are_escaped() -> None:
    text = draw_chart("Accuracy", "share of 1", [Series("<b>", [(1, 0.25), (9, 0.75)])])
    assert "&lt;b&gt; goes from 0.25 at height 1 to 0.75 at height 9" in text
    assert "<b>" not in text
    assert "nothing to draw" in draw_chart("Accuracy", "share of 1", [Series("none", [])])


def test_what_differs_by_rounding_is_drawn_flat() -> None:
    text = draw_chart("Shares", "per cent", [Series("a", [(1, 33.3333), (2, 33.3334)])])
    (first, second) = re.findall(r'points="([^"]*)"', text)[0].split()
    assert abs(float(first.split(",")[1]) - float(second.split(",")[1])) < 1


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (show_size(0), "0 bytes"),
        (show_size(1023), "1023 bytes"),
        (show_size(1536), "1.5 KiB"),
        (show_size(2**50), "1024.0 TiB"),
        (show_millionths(-1), "-0.0000"),
        (show_millionths(None), "-"),
        (show_percent(1 / 3), "33.3 %"),
    ],
)
def test_numbers_are_shown_for_people(shown: str, text: str) -> None:
    assert shown == text
