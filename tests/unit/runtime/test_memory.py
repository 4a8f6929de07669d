"""Freed arrays stay with the process."""

from __future__ import annotations

import gc
import platform
import resource

import numpy as np
import pytest

from flobc.runtime.memory import keep_freed_memory, sparing_collector


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_arrays_are_not_faulted_in_again() -> None:
    assert keep_freed_memory()
    size = 8 * 1024 * 1024
    for _ in range(3):
        np.ones(size // 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(size // 8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 50  # one fresh array of this size alone takes several, up to 2,048


def test_cycles_are_looked_for_seldom_and_only_for_a_while() -> None:
    thresholds = gc.get_threshold()
    with sparing_collector():
        assert gc.get_threshold()[0] > 100 * thresholds[0]
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
