"""Which trace a call belongs to goes from client to server, and no metadata harms one."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from flobc.adapters.grpc import LedgerClient, LedgerServer
from flobc.adapters.grpc.generated import ledger_pb2
from flobc.adapters.grpc.generated.ledger_pb2_grpc import LedgerStub
from flobc.ports.tracing import get_span_id, get_trace_id, within
from tests.support.ports import wait_until
from tests.support.served_chain import ServedChain
from tests.support.spans import TRACE, KeptSpans

BAD = [TRACE[:-1], TRACE + "0", TRACE.upper(), "x" * 7_000, "", "00-" + "0" * 32 + "-" + "b" * 16 + "-01"]


@pytest.fixture(scope="module")
def stores() -> ServedChain:
    stores = ServedChain()
    stores.grow(1)
    return stores


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
def address(stores: ServedChain, kept: KeptSpans) -> Iterator[str]:
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models, tracer=kept.tracer)
    yield server.start("127.0.0.1:0")
    server.stop(0)


def test_a_call_is_a_span_below_the_work_that_it_is_for(stores: ServedChain, kept: KeptSpans, address: str) -> None:
    client = LedgerClient((address,))
    work = kept.tracer.start("train")
    with within(work.trace):
        assert client.get_head() is not None
        assert client.get_model(stores.genesis.initial_model) is not None
        assert client.get_state(bytes(32)) is None
    client.close()
    wait_until(lambda: len(kept.list_spans()) == 3, 10)
    spans = {span.name: span for span in kept.list_spans()}
    assert spans.keys() == {"Ledger/GetHead", "Ledger/GetModel", "Ledger/GetState"}
    assert {(span.trace_id, span.parent_id) for span in spans.values()} == {
        (get_trace_id(work.trace), get_span_id(work.trace))
    }
    assert spans["Ledger/GetState"].attributes == {"error": "AbortError"}


def test_a_call_that_belongs_nowhere_is_no_span(kept: KeptSpans, address: str) -> None:
    client = LedgerClient((address,))
    assert client.get_head() is not None
    client.close()
    assert kept.list_spans() == []


@pytest.mark.parametrize("value", BAD, ids=range(len(BAD)))
def test_metadata_that_names_no_place_is_ignored(kept: KeptSpans, address: str, value: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = ledger_pb2.GetHeadRequest()
        assert LedgerStub(channel).GetHead(request, metadata=(("traceparent", value),), timeout=10).block
    assert kept.list_spans() == []
