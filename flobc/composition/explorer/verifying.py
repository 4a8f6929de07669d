"""The light client at work for a viewer: every header and certificate from block 1 on, asked for anew."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Literal

from flobc.composition.explorer.sources import ChainSource
from flobc.errors import FlobcError, VerificationError
from flobc.ports.metrics import SILENCE, Meter
from flobc.protocol.roles.light_client import LightClient

PAGE = 200
REST_S = 5.0
"""How long a result stands before another run may begin: what many viewers ask for is done once."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; ``head`` is the newest header that held, ``message`` why it ended where it did not hold."""

    state: Literal["none", "running", "holds", "broken", "unreachable"] = "none"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    head: str = ""
    message: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state not in ("none", "running")


class Verification:
    """One run at a time for all viewers, on a thread of its own."""

    def __init__(self, source: ChainSource, meter: Meter = SILENCE) -> None:
        self.progress = Progress()
        self._source, self._meter = source, meter
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ended_s = 0.0

    def start(self) -> None:
        """Begin a run, unless one goes on or has only just ended."""
        with self._lock:
            rests = self.progress.is_over and time.monotonic() - self._ended_s < REST_S
            if self.progress.state == "running" or rests:
                return
            self.progress = Progress("running")
        threading.Thread(target=self._run, name="flobc-verify", daemon=True).start()

    def stop(self) -> None:
        """Let a run end at its next page."""
        self._stopping.set()

    def _run(self) -> None:
        start_s = time.monotonic()
        client = LightClient(self._source.genesis)
        try:
            self.progress = replace(self.progress, total=self._source.read_height())
            self._accept_all(client, start_s)
            end = replace(self.progress, state="holds", total=self.progress.done)
        except VerificationError as error:
            end = replace(self.progress, state="broken", message=str(error))
        except FlobcError as error:
            end = replace(self.progress, state="unreachable", message=str(error))
        self._ended_s = time.monotonic()
        self._meter.add("flobc_web_verifications_total", result=end.state)
        self.progress = replace(end, seconds=time.monotonic() - start_s, head=client.head_digest.hex())

    def _accept_all(self, client: LightClient, start_s: float) -> None:
        """**Raises** VerificationError, TransientError, DataError."""
        while not self._stopping.is_set():
            page = self._source.list_certified(client.head.height + 1, PAGE)
            if not page:
                if client.head.height < self.progress.total:
                    raise VerificationError(client.head.height + 1, "CHAIN-8", "the source has lost this block")
                return
            for block in page:
                client.accept(block.header, block.certificate)
            height = client.head.height
            self.progress = replace(
                self.progress,
                done=height,
                total=max(self.progress.total, height),
                seconds=time.monotonic() - start_s,
                head=client.head_digest.hex(),
            )
            if height >= self.progress.total:
                return
