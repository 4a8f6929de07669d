"""What services count, as Prometheus reads it."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flobc.adapters.prometheus import CATALOGUE, Metrics
from flobc.composition.services.progress import Progress
from flobc.errors import UsageError
from tests.support.dialogue import Chain

DOCS = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, read over HTTP."""
    address = metrics.serve("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        metrics.close()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_blocks_are_counted_by_height_and_outcome() -> None:
    chain = Chain()
    for _ in range(2):
        chain.play_round()
    metrics = Metrics()
    progress = Progress(metrics)
    for block in chain.blocks:
        progress.on_block(block)
    found = scrape(metrics)
    decided = sum(len(block.body.decisions) for block in chain.blocks)
    assert found["flobc_height", ()] == 2
    assert found["flobc_round_seconds_count", ()] == 1
    assert sum(value for (name, _), value in found.items() if name == "flobc_updates_decided_total") == decided > 0
    assert found["flobc_updates_decided_total", (("reason", "accepted"),)] > 0


def test_jobs_are_timed_and_their_failures_counted() -> None:
    metrics = Metrics()
    with metrics.time_job("score"):
        pass
    with pytest.raises(ZeroDivisionError), metrics.time_job("score"):
        _ = 1 // 0
    found = scrape(metrics)
    assert found["flobc_job_seconds_count", (("job", "score"),)] == 1
    assert found["flobc_job_failures_total", (("job", "score"),)] == 1


def test_the_process_itself_is_measured() -> None:
    assert scrape(Metrics())["process_open_fds", ()] > 0


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="choose another"):
        Metrics().serve(address)


def test_names_follow_the_conventions_and_the_manual_lists_them_all() -> None:
    listed = dict(re.findall(r"^\| `(flobc_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE))
    assert listed == {metric.name: metric.kind for metric in CATALOGUE}
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_bytes"))
