"""Exact arithmetic on flat vectors: fixed point, codecs and aggregation rules. Knows numpy, nothing else."""
