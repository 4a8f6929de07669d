"""A whole system whose parts are killed, frozen and wiped: the chain goes on and holds.

Each test leaves the system running. What a fault costs is printed (``pytest -s -k system``), not asserted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from flobc.adapters.grpc import is_serving
from flobc.cli.main import main
from tests.support.system import TRAINERS, WholeSystem, whole_system

BASELINE_ROUNDS = 8
MOVING_BLOCKS = 3
"""So many more blocks show that the chain has not merely finished what was under way."""
TRAINER_NAMES = tuple(f"trainer-{index}" for index in range(TRAINERS))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    with whole_system(tmp_path_factory.mktemp("system") / "chain") as running:
        running.wait_for_blocks(MOVING_BLOCKS)
        running.measure_rounds(BASELINE_ROUNDS)
        yield running


def test_a_system_is_ready_when_up_returns_and_goes_on_where_down_left_it(
    system: WholeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(system.root)
    for address in (*system.plan.validators, *system.plan.ledgers):
        assert is_serving(address)
    before = system.list_processes()
    assert None not in before.values()
    system.up()
    assert system.list_processes() == before
    capsys.readouterr()

    with system.paused(*TRAINER_NAMES):
        (height, head), _ = system.wait_for_agreement()
        assert main(["status", place, "--json"]) == 0
        status = json.loads(capsys.readouterr().out)
        assert (status["height"], status["head"], status["running"], status["stopped"]) == (
            height,
            head.hex(),
            True,
            [],
        )
        assert main(["blocks", place, "--json"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == height
        export = system.root / "chain.zip"
        assert main(["export", "chain", place, "--out", str(export), "--quiet"]) == 0
        for archive in (place, str(export)):
            assert main(["verify", "--full", archive, "--quiet"]) == 0
    system.wait_for_blocks(MOVING_BLOCKS)

    system.down()
    assert set(system.list_processes().values()) == {None}
    for address in (*system.plan.validators, *system.plan.ledgers):
        assert not is_serving(address)
    start_s = time.monotonic()
    system.up()
    assert system.read_height() >= height + MOVING_BLOCKS
    system.wait_for_blocks(MOVING_BLOCKS)
    system.report_recovery("down and up", time.monotonic() - start_s)
    system.check()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["trainer-0", "validator-1", "ledger-0"])
def test_the_chain_goes_on_without_a_killed_service_and_it_catches_up(system: WholeSystem, name: str) -> None:
    system.kill(name)
    system.report_recovery(f"{name} killed, next blocks without it", system.wait_for_blocks(MOVING_BLOCKS))
    height = system.read_height()
    start_s = time.monotonic()
    system.restart()
    system.wait_for_progress(name, height)
    system.report_recovery(f"{name} started again, caught up", time.monotonic() - start_s)
    system.wait_for_blocks(MOVING_BLOCKS)
    system.check()


@pytest.mark.soak
def test_a_validator_that_hangs_is_not_waited_for_and_catches_up(system: WholeSystem) -> None:
    with system.paused("validator-2"):
        system.report_recovery("validator-2 frozen, next blocks without it", system.wait_for_blocks(2 * MOVING_BLOCKS))
        height = system.read_height()
    system.report_recovery("validator-2 thawed, caught up", system.wait_for_progress("validator-2", height))
    system.wait_for_blocks(MOVING_BLOCKS)
    system.check()


@pytest.mark.soak
def test_the_chain_survives_the_death_of_redis(system: WholeSystem) -> None:
    system.kill("redis")
    start_s = time.monotonic()
    system.restart()
    system.wait_for_blocks(MOVING_BLOCKS)
    system.report_recovery("redis killed and started again", time.monotonic() - start_s)
    system.check()


@pytest.mark.soak
def test_a_wiped_redis_is_filled_again_from_the_log(system: WholeSystem) -> None:
    with system.paused(*TRAINER_NAMES):
        before = system.wait_for_agreement()
        with system.open_redis() as redis:
            redis.call("FLUSHALL")
        start_s = time.monotonic()
        system.wait_for_height(before[0][0])
        system.report_recovery("redis wiped, every block there again", time.monotonic() - start_s)
        assert system.wait_for_agreement() == before
    system.wait_for_blocks(MOVING_BLOCKS)
    with system.open_redis() as redis:
        redis.call("FLUSHALL")
    start_s = time.monotonic()
    system.wait_for_height(before[0][0] + 2 * MOVING_BLOCKS)
    system.report_recovery("redis wiped while the chain moves", time.monotonic() - start_s)
    system.check()


@pytest.mark.soak
def test_the_chain_survives_the_death_of_kafka(system: WholeSystem) -> None:
    before = system.list_processes()
    system.kill("kafka")
    start_s = time.monotonic()
    system.restart()
    system.wait_for_blocks(2 * MOVING_BLOCKS)
    system.report_recovery("kafka killed and started again", time.monotonic() - start_s)
    after = system.list_processes()
    assert {**before, "kafka": None} == {**after, "kafka": None}, "somebody had to be started again"
    height = system.read_height()
    for name in before.keys() - {"kafka", "redis"}:
        system.wait_for_progress(name, height)
    system.check()
