"""What goes through a channel comes out: small and large, again and again, over the same memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import Pipe

import numpy as np
import pytest

from flobc.runtime import array_channel
from flobc.runtime.array_channel import ArrayChannel, open_memory

Ends = tuple[ArrayChannel, ArrayChannel]


@pytest.fixture(params=["in memory", "in a file"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    if request.param == "in a file":
        monkeypatch.delattr(array_channel.os, "memfd_create")
    here, there = Pipe()
    one, other = open_memory(), open_memory()
    pair = ArrayChannel(here, one, other), ArrayChannel(there, os.dup(other), os.dup(one))
    yield pair
    for end in pair:
        with suppress(OSError):
            end.close()


def test_messages_grow_and_shrink(ends: Ends) -> None:
    first, second = ends
    for size in (0, 3, 70_000, 5, 200_000, 1):
        sent = {"a": np.arange(size, dtype=np.float32), "b": [np.full((2, size), 7, np.int64).T, b"x" * size]}
        first.send((size, sent))
        found_size, found = second.receive()
        assert found_size == size
        assert found["a"].tobytes() == sent["a"].tobytes()
        assert np.array_equal(found["b"][0], sent["b"][0])
        assert found["b"][1] == sent["b"][1]
        second.send(found["a"] + 1)
        assert np.array_equal(first.receive(), sent["a"] + 1)


def test_one_array_that_is_sent_twice_is_one_array(ends: Ends) -> None:
    first, second = ends
    row = np.arange(9.0)
    first.send([row, row])
    found = second.receive()
    assert found[0] is found[1]


def test_an_array_that_is_kept_keeps_no_other(ends: Ends) -> None:
    first, second = ends
    first.send([np.zeros(1000), np.zeros(1000)])
    one, other = second.receive()
    assert not np.shares_memory(one, other)
    assert one.base.nbytes == other.base.nbytes == 8000


def test_kept_arrays_outlive_the_next_message(ends: Ends) -> None:
    first, second = ends
    first.send(np.zeros(1000))
    kept = second.receive()
    first.send(np.ones(1000))
    assert second.receive().all()
    assert not kept.any()


def test_the_other_end_is_told_of_the_end(ends: Ends) -> None:
    first, second = ends
    first.close()
    first.close()
    with pytest.raises((EOFError, OSError)):
        second.receive()
