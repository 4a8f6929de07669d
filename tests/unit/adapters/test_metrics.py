"""What services count, as Prometheus reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flobc.adapters.prometheus import CATALOGUE, Metrics
from flobc.errors import UsageError
from tests.support.scraping import scrape

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "metrics.md"


def test_jobs_are_timed_and_their_failures_counted() -> None:
    metrics = Metrics()
    with metrics.time_job("score"):
        pass
    with pytest.raises(ZeroDivisionError), metrics.time_job("score"):
        _ = 1 // 0
    found = scrape(metrics)
    assert found["flobc_job_seconds_count", (("work", "score"),)] == 1
    assert found["flobc_job_failures_total", (("work", "score"),)] == 1


def test_a_gauge_is_shown_from_its_first_value_on() -> None:
    """A service without Redis must not look like one whose Redis is away; counters begin at 0."""
    metrics = Metrics()
    assert ("flobc_redis_up", ()) not in scrape(metrics)
    assert scrape(metrics)["flobc_redis_errors_total", ()] == 0
    for value in (0, 1):
        metrics.set("flobc_redis_up", value)
        assert scrape(metrics)["flobc_redis_up", ()] == value


def test_the_process_itself_is_measured() -> None:
    assert scrape(Metrics())["process_open_fds", ()] > 0


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="choose another"):
        Metrics().serve(address)


def test_names_follow_the_conventions_and_the_manual_lists_them_all() -> None:
    rows = re.findall(r"^\| `(flobc_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    expected = [(metric.name, metric.kind, ", ".join(metric.labels) or "-", metric.help) for metric in CATALOGUE]
    assert sorted(rows) == sorted(expected)
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_bytes", "_rounds"))


def test_the_code_counts_what_the_catalogue_lists_and_nothing_else() -> None:
    """A name that is not in the catalogue would fail only where it is first used; one that nothing sets, never."""
    catalogue = ROOT / "flobc" / "adapters" / "prometheus" / "catalogue.py"
    sources = [path.read_text() for path in (ROOT / "flobc").rglob("*.py") if path != catalogue]
    counting = re.compile(r'(?:add|set|observe|set_quantiles|set_tops)\(\s*"(flobc_[a-z_]+)"')
    named = {name for text in sources for name in counting.findall(text)}
    assert named == {metric.name for metric in CATALOGUE}
