"""Every panel of every board has data: real services, a real Prometheus, each query with its variables filled in."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.run_directory import load_genesis
from flobc.numerics.codecs import chunk_bounds
from flobc.ports.payloads import Payload
from flobc.ports.topics import Topic
from flobc.protocol.identity import Identity
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import UpdateHeader, sign
from flobc.protocol.params import Genesis, get_chain_id
from flobc.runtime.transfer import build_records
from tests.support.boards import BOARDS, load_panels
from tests.support.chart import CHART
from tests.support.prometheus import Prometheus, find_program, running_prometheus
from tests.support.system import PATIENCE_S, TASK, WholeSystem, whole_system
from tests.support.topics import append_all

OPTIONS = ("--task", TASK, "--trainers", "3", "--validators", "4", "--period", "2")
VICTIM = "trainer-2"
ROUNDS = 3
VARIABLES = {"$namespace": "here", "$release": "tests", "$__rate_interval": "30s"}
_SERVED = re.compile(r"serving metrics on (\S+?)\"")
RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    find_program("prometheus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOBC_METRICS", "127.0.0.1:0")
        with whole_system(tmp_path_factory.mktemp("boards") / "chain", OPTIONS, explorer=True) as running:
            yield running


@pytest.fixture(scope="module")
def prometheus(system: WholeSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    targets = {
        role: [find_metrics(system, name) for name in system.list_names(role)]
        for role in ("trainer", "validator", "ledger", "explorer")
    }
    labels = {"namespace": "here", "release": "tests"}
    with running_prometheus(tmp_path_factory.mktemp("prometheus") / "server", targets, labels, RULES) as running:
        yield running


def find_metrics(system: WholeSystem, name: str) -> str:
    """Where a service serves its metrics, by its log."""
    log = system.get_process(name).log
    system.wait_until(f"metrics of {name}", lambda: _SERVED.search(log.read_text()) is not None)
    found = _SERVED.search(log.read_text())
    assert found is not None
    return found[1]


def publish_garbage(updates: Topic, genesis: Genesis, who: Identity, base: int, fillings: Sequence[bytes]) -> None:
    """Updates of one identity that no codec can read, rightly signed."""
    records: list[bytes] = []
    bounds = chunk_bounds(genesis.model.size, genesis.model.chunk_size)
    for filling in fillings:
        chunks = tuple(filling * (stop - start) for start, stop in bounds)
        header = UpdateHeader(
            chain=get_chain_id(genesis),
            trainer=who.public_key,
            base_height=base,
            k=0,
            num_examples=10,
            codec=genesis.params.codec,
            norm=0,
            payload_root=merkle_root(chunks),
            num_chunks=len(chunks),
            size_bytes=sum(map(len, chunks)),
        )
        records += build_records(Payload(sign(header, who), chunks))
    append_all(updates, [(who.public_key, record) for record in records])


def read_total(prometheus: Prometheus, metric: str) -> float:
    return max((float(series["value"][1]) for series in prometheus.query(metric)), default=0.0)


def misbehave(system: WholeSystem, prometheus: Prometheus) -> None:
    """Use a frozen trainer's key to send rubbish until it was rejected, then two updates of one identity as long."""
    until_s = time.monotonic() + PATIENCE_S
    genesis, who = load_genesis(system.root), load_key_file(system.root / "nodes" / VICTIM / "key")
    for fillings, counted in (
        ((b"\xff",), f'flobc_trainer_updates_total{{outcome="rejected",trainer="{who.public_key.hex()[:8]}"}}'),
        ((b"\xff", b"\xfe"), 'flobc_evidence_total{role="trainer"}'),
    ):
        with system.paused(VICTIM), system.open_topics() as (_, updates):
            sent = -1
            while read_total(prometheus, counted) == 0:
                assert time.monotonic() < until_s, f"{counted} is still 0"
                system.wait_for_height(sent + 1)
                sent = system.read_height()
                publish_garbage(updates, genesis, who, sent, fillings)


@contextmanager
def looked_at(system: WholeSystem) -> Iterator[Callable[[], None]]:
    """Somebody watches the chain live and verifies it; yields what turns pages, for quantiles need it again."""
    with httpx.Client(base_url=f"http://{system.plan.explorer}", timeout=PATIENCE_S) as viewer:

        def turn_pages() -> None:
            for path in ("/", "/blocks/1", "/static/explorer.css", "/no/such/page"):
                viewer.get(path)

        viewer.post("/verify")
        with viewer.stream("GET", "/events"):
            yield turn_pages


def list_queries() -> Iterator[tuple[str, str]]:
    """Every query of every panel as Grafana would send it, and where it stands."""
    for path in BOARDS:
        for panel in load_panels(path):
            for target in panel["targets"]:
                asked = target["expr"]
                for name, value in VARIABLES.items():
                    asked = asked.replace(name, value)
                yield f"{path.stem}: {panel['title']}", asked


def has_data(series: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(one["value"][1])) for one in series)


def test_every_panel_has_data(system: WholeSystem, prometheus: Prometheus) -> None:
    """Nothing is excepted: a frozen trainer's key is abused, and Redis is given a memory limit."""
    with system.open_redis() as redis:
        redis.call("CONFIG", "SET", "maxmemory", "1gb")
    system.wait_for_blocks(ROUNDS)
    misbehave(system, prometheus)
    missing = set(list_queries())
    assert len(missing) > 90

    def are_answered() -> bool:
        turn_pages()
        missing.difference_update([query for query in missing if has_data(prometheus.query(query[1]))])
        return not missing

    try:
        with looked_at(system) as turn_pages:
            system.wait_until("data in every panel", are_answered, 60)
    finally:
        assert not missing, "\n".join(f"{place}: {asked}" for place, asked in sorted(missing))


def list_alerts(prometheus: Prometheus, *states: str) -> set[str]:
    """Alerts that fire, or wait for their time to be up."""
    found = prometheus.query(f'ALERTS{{alertstate=~"{"|".join(states)}"}}')
    return {series["metric"]["alertname"] for series in found}


def test_nobody_is_alarmed_by_a_healthy_system(system: WholeSystem, prometheus: Prometheus) -> None:
    """The evidence that was made is all that fires, and every service is there to be read."""
    system.wait_until("every target up", lambda: set(prometheus.read_targets().values()) == {"up"})
    system.wait_until("the evidence's alert", lambda: bool(list_alerts(prometheus, "firing")))
    assert list_alerts(prometheus, "firing") == {"EvidenceRecorded"}


@pytest.mark.parametrize(
    ("name", "alerts"),
    [("validator-3", {"TargetDown", "QuorumAtRisk"}), ("redis", {"RedisDown", "LedgerWriteErrors"})],
)
def test_what_is_killed_is_noticed(system: WholeSystem, prometheus: Prometheus, name: str, alerts: set[str]) -> None:
    """These alerts wait some minutes before they fire; that they begin to wait is enough here."""
    # on a busy machine a service may miss a second's reading, which is a TargetDown for that second
    system.wait_until("calm", lambda: not alerts & list_alerts(prometheus, "pending", "firing"))
    system.kill(name)
    system.wait_until(f"{alerts}", lambda: alerts <= list_alerts(prometheus, "pending", "firing"))
