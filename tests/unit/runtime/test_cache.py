"""The memo: each result once, however many ask, within its bytes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.runtime.cache import ByteBoundedMemo


def never() -> bytes:
    raise AssertionError("computed a second time")


def test_computes_once() -> None:
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(100, len)
    assert memo.get(b"key", lambda: b"value") == b"value"
    assert memo.get(b"key", never) == b"value"


def test_a_result_known_already_is_not_computed() -> None:
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(100, len)
    memo.put(b"key", b"value")
    assert memo.get(b"key", never) == b"value"


def test_threads_that_ask_together_share_one_computation() -> None:
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(100, len)
    everybody, calls = threading.Barrier(8), []

    def compute() -> bytes:
        calls.append(1)
        return b"value"

    def ask() -> bytes:
        everybody.wait()
        return memo.get(b"key", compute)

    with ThreadPoolExecutor(8) as executor:
        results = [future.result() for future in [executor.submit(ask) for _ in range(8)]]
    assert set(results) == {b"value"}
    assert len(calls) == 1


def test_a_failure_is_raised_and_not_remembered() -> None:
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(100, len)

    def fail() -> bytes:
        raise ValueError("not held")

    with pytest.raises(ValueError, match="not held"):
        memo.get(b"key", fail)
    assert memo.get(b"key", lambda: b"value") == b"value"


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 60), st.integers(1, 4))
def test_holds_no_more_than_its_bytes_or_its_least(keys: list[int], limit: int, least: int) -> None:
    """What is asked for last stays longest."""
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(limit, len, least)
    computed: list[int] = []
    held: list[int] = []
    for key in keys:
        memo.get(bytes([key]), lambda key=key: computed.append(key) or bytes(10 + key))  # type: ignore[misc]
        held = [item for item in held if item != key] + [key]
        while sum(10 + item for item in held) > limit and len(held) > least:
            held.pop(0)
    count = len(computed)
    for key in held:
        memo.get(bytes([key]), never)
    assert len(computed) == count


def test_drops_what_is_obsolete_and_nothing_else() -> None:
    memo: ByteBoundedMemo[bytes] = ByteBoundedMemo(100, len)
    for key in (b"a", b"b"):
        memo.put(key, key)
    memo.drop(lambda key: key == b"a")
    assert memo.get(b"a", lambda: b"anew") == b"anew"
    assert memo.get(b"b", never) == b"b"
