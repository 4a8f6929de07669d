"""A model of eleven million parameters through a whole system whose broker takes no record above a mebibyte."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flobc.adapters.kafka.settings import MAX_RECORD_BYTES
from flobc.composition.run_directory import load_genesis
from tests.support.resources import read_peak_kib
from tests.support.system import WholeSystem, whole_system
from tests.support.topics import read_whole

PARAMETERS = 11_000_000
BLOCKS = 2
TRAINERS = 2
LONG_S = 400.0
BYTES_A_COORDINATE = 2
"""Of the codec ``int16``."""
KEY_BYTES = 32
"""An update's records go under its trainer's key."""
MANY_RECORDS = 20
"""An update of 22 MB cannot be in fewer."""
OPTIONS = (
    *("--task", f"synthetic:parameters={PARAMETERS}", "--trainers", str(TRAINERS), "--validators", "4"),
    *("--codec", "int16", "--period", "120"),
)


@pytest.mark.soak
def test_eleven_million_parameters_pass_a_broker_of_stock_limits(tmp_path: Path) -> None:
    """WIRE-11, WIRE-12: updates go in chunks, each a record that any broker takes."""
    with whole_system(tmp_path / "chain", OPTIONS, ledgers=1) as system:
        properties = (system.root / "kafka" / "server.properties").read_text()
        assert "max.bytes" not in properties, "the broker's limits are not the stock ones"
        assert load_genesis(system.root).model.size >= PARAMETERS
        start_s = time.monotonic()
        rounds_s = [system.wait_for_height(height, LONG_S) for height in range(1, BLOCKS + 1)]
        total_s = time.monotonic() - start_s
        peak_kib = read_peak_kib(system.list_processes())
        report = system.check()
        assert report.height >= BLOCKS
        sizes = measure_records(system)
    seconds = ", ".join(f"{each:.1f}" for each in rounds_s)
    print(f"\nseconds for each of {BLOCKS} blocks after ready: {seconds} ({total_s:.1f} in all)")
    print("peak MiB: " + ", ".join(f"{name} {kib / 1024:.0f}" for name, kib in peak_kib.items()))
    for name, found in sizes.items():
        print(f"{name}: {len(found)} records, {sum(found) / 2**20:.1f} MiB, the largest {max(found):,} bytes")
        assert max(found) <= MAX_RECORD_BYTES
    assert len(sizes["updates"]) >= BLOCKS * TRAINERS * MANY_RECORDS
    assert sum(sizes["updates"]) >= BLOCKS * TRAINERS * PARAMETERS * BYTES_A_COORDINATE


def measure_records(system: WholeSystem) -> dict[str, list[int]]:
    """The size of every record of both topics, with the key that an update's has."""
    with system.open_topics() as (log, updates):
        return {
            "log": [len(entry.value) for entry in read_whole(log)],
            "updates": [len(entry.value) + KEY_BYTES for entry in read_whole(updates)],
        }
