"""One client, several servers: each is tried in turn, and all of them again for some seconds."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from flobc.adapters.grpc.tls import TlsSettings, build_client_credentials
from flobc.adapters.grpc.tracing import TellingInterceptor
from flobc.adapters.grpc.wire import CLIENT_OPTIONS
from flobc.errors import DataError, FlobcError, TransientError, UsageError

_FIRST_DELAY_S = 0.1
_MAX_DELAY_S = 1.0

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a client waits, in seconds.

    ``call_s`` bounds one answer, ``stream_s`` one stream of pieces or blocks (a longer one goes on in a
    second call), ``retry_s`` how long servers that cannot be reached are tried before the caller hears of it.
    """

    call_s: float = 10.0
    stream_s: float = 60.0
    retry_s: float = 5.0


class Failures:
    """What one round through all servers came to, when none of them answered."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._away: list[str] = []
        self._wrong: DataError | None = None
        self.not_held = False

    @property
    def any_away(self) -> bool:
        """Whether some server may answer later."""
        return bool(self._away)

    def note(self, address: str, error: grpc.RpcError | DataError) -> None:
        """Enter why one server gave no answer."""
        if isinstance(error, DataError):
            self._wrong = DataError(f"What {address} sends for {self._what} is wrong: {error}")
        elif error.code() is grpc.StatusCode.UNIMPLEMENTED:
            self._wrong = DataError(f"{address} answers, but serves nothing like {self._what}; check the address.")
        elif error.code() is grpc.StatusCode.NOT_FOUND:
            self.not_held = True
        elif error.code() is grpc.StatusCode.DATA_LOSS:
            self._wrong = DataError(f"{address} has no sound copy of {self._what}: {error.details()}")
        else:
            self._away.append(f"{address} ({_describe_absence(error)})")

    def note_end(self, address: str) -> None:
        """Enter that a server ended a stream that never ends."""
        self._away.append(f"{address} (ended the stream)")

    def build_error(self) -> FlobcError:
        """Return what the caller shall hear: that an answer was wrong, or that nobody is there."""
        if self._wrong is not None:
            return self._wrong
        addresses = ", ".join(self._away)
        return TransientError(f"Nobody answers for {self._what} at {addresses}; see that a server runs there.", 1.0)


def _describe_absence(error: grpc.RpcError) -> str:
    """Return why a server did not answer: its status code, and whether TLS is the reason as far as it can be seen."""
    code, details = str(error.code().name), str(error.details())
    if "handshake failed" in details:
        reason = details.partition("OPENSSL_internal:")[2].removesuffix(": OK") or "handshake failed"
        return f"{code}, no TLS connection: {reason}; check CA and address, and whether it speaks TLS"
    if "Socket closed" in details or "Connection reset" in details:
        return f"{code}, it hung up; check whether it asks for TLS, or for another certificate"
    return code


class Retry:
    """Exponential delays with jitter, from the first failure in a row until patience ends."""

    def __init__(self, patience_s: float, closed: threading.Event) -> None:
        self._patience_s = patience_s
        self._closed = closed
        self.reset()

    def reset(self) -> None:
        """Something was answered: the next failure is a first one."""
        self._delay_s = _FIRST_DELAY_S
        self._until_s: float | None = None

    def pause(self) -> bool:
        """Wait before the next attempt; False when there shall be none."""
        now_s = time.monotonic()
        if self._until_s is None:
            self._until_s = now_s + self._patience_s
        delay_s = self._delay_s * random.uniform(0.5, 1.0)
        if now_s + delay_s > self._until_s:
            return False
        self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)
        return not self._closed.wait(delay_s)


class Connections(Generic[S]):
    """A stub per address; the one that answered last is asked first. Safe to use from several threads."""

    def __init__(
        self,
        addresses: Sequence[str],
        build_stub: Callable[[grpc.Channel], S],
        tls: TlsSettings | None,
        patience: Patience,
    ) -> None:
        if not addresses:
            raise UsageError("No address to connect to is given; name at least one host:port.")
        self.patience = patience
        self._channels = [open_channel(address, tls) for address in addresses]
        self._stubs = [
            (address, build_stub(channel)) for address, channel in zip(addresses, self._channels, strict=True)
        ]
        self._first = 0
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """End all calls under way and let go of the connections."""
        self._closed.set()
        for channel in self._channels:
            channel.close()

    def in_turn(self) -> Iterator[tuple[str, S]]:
        """Yield each address with its stub, beginning with the one that answered last."""
        first = self._first
        for index in range(len(self._stubs)):
            if self.closed:
                return
            place = (first + index) % len(self._stubs)
            yield self._stubs[place]

    def prefer(self, address: str) -> None:
        """Ask this one first from now on."""
        self._first = next(place for place, (name, _) in enumerate(self._stubs) if name == address)

    def distrust(self) -> None:
        """Ask the one first last from now on."""
        self._first = (self._first + 1) % len(self._stubs)

    def start_retry(self) -> Retry:
        """Return a new count of failures."""
        return Retry(self.patience.retry_s, self._closed)

    def ask(self, what: str, attempt: Callable[[S], T], progress: Callable[[], int] = lambda: 0) -> T | None:
        """Return the first sound answer; None when a server that answers does not hold ``what`` and none does.

        A server that is away, or whose answer ``attempt`` refuses with DataError, is passed over. As long as
        ``progress`` grows between rounds patience starts anew.

        **Raises** DataError when all answers were wrong, TransientError when nobody answered in time.
        """
        retry = self.start_retry()
        while not self.closed:
            failures, before = Failures(what), progress()
            for address, stub in self.in_turn():
                try:
                    answer = attempt(stub)
                except (grpc.RpcError, DataError) as error:
                    failures.note(address, error)
                else:
                    self.prefer(address)
                    return answer
            if self.closed:
                break
            if failures.not_held:
                return None
            if progress() > before:
                retry.reset()
            if not failures.any_away or not retry.pause():
                raise failures.build_error()
        raise TransientError(f"The client was closed before it had {what}; open another one.", _MAX_DELAY_S)


def open_channel(address: str, tls: TlsSettings | None) -> Any:
    """Open a channel to ``host:port``, by mutual TLS where there is any. **Raises** UsageError."""
    if tls is None:
        channel = grpc.insecure_channel(address, options=CLIENT_OPTIONS)
    else:
        channel = grpc.secure_channel(address, build_client_credentials(tls), options=CLIENT_OPTIONS)
    return grpc.intercept_channel(channel, TellingInterceptor())
