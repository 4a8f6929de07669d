"""Metrics for Prometheus: one list of what there is, and an endpoint that serves it."""

from flobc.adapters.prometheus.catalogue import CATALOGUE, Metric
from flobc.adapters.prometheus.metrics import Metrics

__all__ = ["CATALOGUE", "Metric", "Metrics"]
