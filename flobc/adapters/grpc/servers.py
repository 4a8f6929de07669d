"""gRPC servers in an event loop on a thread of their own, with health and reflection."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from flobc.adapters.grpc.blob_service import BlobService
from flobc.adapters.grpc.counting import CountingInterceptor
from flobc.adapters.grpc.generated import blobs_pb2, ledger_pb2
from flobc.adapters.grpc.generated.blobs_pb2_grpc import add_BlobsServicer_to_server
from flobc.adapters.grpc.generated.ledger_pb2_grpc import add_LedgerServicer_to_server
from flobc.adapters.grpc.ledger_service import LedgerService
from flobc.adapters.grpc.reading import CertifiedBlocks
from flobc.adapters.grpc.tls import TlsSettings, build_server_credentials
from flobc.adapters.grpc.tracing import TracingInterceptor
from flobc.adapters.grpc.wire import SERVER_OPTIONS
from flobc.errors import UsageError
from flobc.ports.blocks import BlockStore
from flobc.ports.metrics import SILENCE, Meter
from flobc.ports.models import ModelStore
from flobc.ports.payloads import PayloadStore
from flobc.ports.states import StateStore
from flobc.ports.tracing import NO_TRACES, Tracer
from flobc.protocol.params import Genesis

MAX_CALLS = 4_096
"""Most calls at once, followers included; gRPC answers RESOURCE_EXHAUSTED to more."""
STORE_THREADS = 8
"""Most store calls at once; a store that hangs must not take more of the process than that."""


STORE_WAIT_S = 5.0
"""How long a stop waits for store calls under way."""


class ServiceServer:
    """What every server of ours does; the service itself is added by a subclass."""

    def __init__(
        self, service: str, tls: TlsSettings | None, meter: Meter = SILENCE, tracer: Tracer = NO_TRACES
    ) -> None:
        self._meter = meter
        self._tracer = tracer
        self._service = service
        self._tls = tls
        self._serving = True
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, address: str) -> str:
        """Serve on ``host:port`` and return the bound address; port 0 is any free one.

        **Raises** UsageError when the address cannot be had or a TLS file not be read.
        """
        if self._thread is not None:
            raise UsageError("This server runs already; stop it before it is started again.")
        bound: Future[str] = Future()
        thread = threading.Thread(target=self._run, args=(address, bound), name=f"grpc-{self._service}", daemon=True)
        thread.start()
        found = bound.result()
        self._thread = thread
        return found

    def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, let calls under way finish for up to ``grace_s``, then end them. Harmless when stopped."""
        if self._thread is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(grace_s), self._loop).result()
        # a store call that hangs must not keep the process from ending
        self._thread.join(grace_s + STORE_WAIT_S)
        self._thread = self._loop = None

    def set_serving(self, serving: bool) -> None:
        """Set what the health service answers, for this service and for the whole server; True at first."""
        self._serving = serving
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._publish_health(), self._loop).result()

    def _add_to(self, server: grpc.aio.Server) -> None:
        """Add the service."""
        raise NotImplementedError

    def _before_stop(self) -> None:
        """Let go of whoever waits, inside the loop."""

    async def _run_beside(self) -> None:
        """What has to run for as long as the server does."""

    def _run(self, address: str, bound: Future[str]) -> None:
        try:
            asyncio.run(self._serve(address, bound))
        except Exception as error:
            # whoever waits in start() must hear of it, whatever it is
            if bound.done():
                raise
            bound.set_exception(error)

    async def _serve(self, address: str, bound: Future[str]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(STORE_THREADS, f"grpc-{self._service}-store"))
        self._stopped = asyncio.Event()
        self._health = health.aio.HealthServicer()
        counting = CountingInterceptor(self._meter, self._service)
        tracing = TracingInterceptor(self._tracer, self._service)
        self._server = grpc.aio.server(
            interceptors=(counting, tracing), options=SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS
        )
        self._add_all(self._server)
        port = self._bind(self._server, address)
        await self._server.start()
        await self._publish_health()
        beside = asyncio.create_task(self._run_beside())
        self._loop = loop
        bound.set_result(f"{address.rpartition(':')[0]}:{port}")
        await self._stopped.wait()
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside

    def _add_all(self, server: grpc.aio.Server) -> None:
        self._add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (self._service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        credentials = None if self._tls is None else build_server_credentials(self._tls)
        try:
            if credentials is None:
                port: int = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise UsageError(
                f"Cannot listen on {address}, which is taken or not this machine's; choose another address."
            ) from error
        return port

    async def _publish_health(self) -> None:
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if self._serving else answer.NOT_SERVING
        for name in ("", self._service):
            await self._health.set(name, status)
        # who asks for the health service itself asks whether the process is alive, not whether it is ready
        await self._health.set(health.SERVICE_NAME, answer.SERVING)

    async def _shut_down(self, grace_s: float) -> None:
        await self._health.enter_graceful_shutdown()
        self._before_stop()
        await self._server.stop(grace_s)
        self._stopped.set()


class LedgerServer(ServiceServer):
    """Serves a chain's blocks, states and models to everybody who asks."""

    def __init__(
        self,
        genesis: Genesis,
        blocks: BlockStore,
        states: StateStore,
        models: ModelStore,
        tls: TlsSettings | None = None,
        meter: Meter = SILENCE,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        super().__init__(_get_name(ledger_pb2, "Ledger"), tls, meter, tracer)
        self._parts = (genesis, blocks, states, models)
        self._certified = CertifiedBlocks(blocks)

    def notify(self, height: int) -> None:
        """Tell followers at once that the block at ``height`` is in the store; from any thread, never blocks.

        Without it they hear of it within a second.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._certified.notify, height)

    def _add_to(self, server: grpc.aio.Server) -> None:
        self._certified = CertifiedBlocks(self._parts[1])
        add_LedgerServicer_to_server(LedgerService(*self._parts, self._certified), server)

    def _before_stop(self) -> None:
        self._certified.stop()

    async def _run_beside(self) -> None:
        await self._certified.watch()


class BlobServer(ServiceServer):
    """Serves the payloads and models that a validator holds."""

    def __init__(
        self,
        genesis: Genesis,
        payloads: PayloadStore,
        models: ModelStore,
        tls: TlsSettings | None = None,
        meter: Meter = SILENCE,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        super().__init__(_get_name(blobs_pb2, "Blobs"), tls, meter, tracer)
        self._parts = (genesis, payloads, models)

    def _add_to(self, server: grpc.aio.Server) -> None:
        add_BlobsServicer_to_server(BlobService(*self._parts), server)


def _get_name(module: Any, service: str) -> str:
    name: str = module.DESCRIPTOR.services_by_name[service].full_name
    return name
