"""What a service's metrics say, as Prometheus would read them."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from flobc.adapters.prometheus import Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(metrics: Metrics) -> Samples:
    """Every sample by name and labels, read over HTTP."""
    address = metrics.serve("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return parse_samples(answer.read().decode())
    finally:
        metrics.close()


def parse_samples(text: str) -> Samples:
    """Every sample of Prometheus's text format by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def add_up(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples.items() if found == name and wanted <= set(has))
