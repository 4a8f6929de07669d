"""What a local system and its machine use, as the kernel counts it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flobc.composition.local.plan import Plan, get_process, save_plan
from flobc.composition.scaling.measuring import compute_cores, compute_machine_share
from flobc.composition.scaling.processes import MACHINE, ProcessMeter
from flobc.ports.scaler import Usage

BUSY_S = 0.3
TICKS_S = 0.05


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc")
def test_processor_seconds_by_role(tmp_path: Path) -> None:
    """This very process stands for a trainer, and is busy for a while."""
    save_plan(tmp_path, Plan("h:1", "h:2", ("h:3",), ("h:4",), trainers=2))
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    trainer = get_process(tmp_path, "trainer", 1)
    trainer.pid_file.parent.mkdir(parents=True)
    trainer.pid_file.write_text(f"{os.getpid()} {started}")
    meter = ProcessMeter(tmp_path)
    before = meter.read()
    until_s = time.process_time() + BUSY_S
    while time.process_time() < until_s:
        pass
    after = meter.read()
    assert set(after.cpu_s) == {"trainer"}
    assert after.cpu_s["trainer"] - before.cpu_s["trainer"] >= BUSY_S - TICKS_S
    assert after.machine_s[MACHINE] - before.machine_s[MACHINE] >= BUSY_S - TICKS_S
    share = compute_machine_share(before, after)
    assert share is not None
    assert 0 < share <= 1.2


def test_shares_are_of_the_busiest_machine() -> None:
    before = Usage(10.0, {"trainer": 1.0}, {"a": 5.0, "b": 0.0}, {"a": 2, "b": 4})
    after = Usage(20.0, {"trainer": 3.5, "kafka": 1.0}, {"a": 15.0, "b": 30.0, "new": 99.0}, {"a": 2, "b": 4, "new": 1})
    assert compute_cores(before, after) == {"trainer": 0.25, "kafka": 0.1}
    assert compute_machine_share(before, after) == 0.75
    assert compute_machine_share(after, after) is None
    assert compute_cores(after, after) == {}


def test_a_role_whose_processes_were_replaced_has_used_nothing_less() -> None:
    assert compute_cores(Usage(0, {"kafka": 9.0}, {}, {}), Usage(1, {"kafka": 1.0}, {}, {})) == {"kafka": 0.0}
