"""Opening the library's clients, and its errors in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from kafka import errors  # type: ignore[import-untyped]
from kafka.net.compat import KafkaNetClient  # type: ignore[import-untyped]

from flobc.adapters.kafka.handshake import build_context, find_refusal
from flobc.adapters.kafka.refusals import LOGIN_REFUSED, raise_refusals
from flobc.adapters.kafka.settings import KafkaSettings
from flobc.errors import DataError, FlobcError, TransientError, UsageError

Client = TypeVar("Client")

_RETRY_DELAY_S = 1.0
_REFUSED = (
    errors.AuthorizationError,
    *LOGIN_REFUSED,
    errors.KafkaConfigurationError,
)
_UNSUITABLE = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTopicError,
    errors.InvalidConfigurationError,
    errors.InvalidPartitionsError,
    errors.PolicyViolationError,
)
_GONE = (errors.OffsetOutOfRangeError, errors.LogTruncationError, errors.NoOffsetForPartitionError)
_BROKEN = (errors.CorruptRecordError, errors.UnsupportedCodecError)


def open_client(kind: Callable[..., Client], settings: KafkaSettings, **options: Any) -> Client:
    """Return a connected client of the library. **Raises** TransientError when Kafka does not answer, UsageError."""
    if not settings.security_protocol.endswith("SSL"):
        return _open_client(kind, settings, options)
    build_context(settings)
    try:
        return _open_client(kind, settings, options)
    except TransientError as error:
        refusal = find_refusal(settings)
        if refusal is None:
            raise
        raise UsageError(
            f"Cannot connect by TLS to Kafka at {settings.address}: {refusal}; correct CA, certificate and key."
        ) from error


def _open_client(kind: Callable[..., Client], settings: KafkaSettings, options: Mapping[str, Any]) -> Client:
    opened: list[Any] = []

    def open_connections(**configs: Any) -> Any:
        opened.append(KafkaNetClient(**configs))
        raise_refusals(opened[-1]._manager)
        return opened[-1]

    with in_our_words(settings, "connect"):
        try:
            return kind(kafka_client=open_connections, **settings.build_options(), **options)
        except BaseException:
            # a constructor that fails leaves its thread and sockets behind: one for each try while Kafka is away
            for client in opened:
                with contextlib.suppress(Exception):
                    client.close()
                    client._manager._net.stop(1000)
            raise


@contextlib.contextmanager
def in_our_words(settings: KafkaSettings, what: str) -> Iterator[None]:
    """Turn the library's errors within the block into those of ``explain_error``."""
    try:
        yield
    except errors.KafkaError as error:
        raise explain_error(error, settings, what) from error


def explain_error(error: BaseException, settings: KafkaSettings, what: str) -> FlobcError:
    """Return our error for one of the library's: what could not be done, why, and what to do.

    DataError for records that are gone or broken, UsageError for what Kafka will never do, else TransientError.
    """
    reason = _describe(error)
    place = f"Kafka at {settings.address}"
    if isinstance(error, _GONE):
        return DataError(
            f"Cannot {what}: {place} does not hold the next record ({reason}); start from a newer "
            "certified block, or restore the topic."
        )
    if isinstance(error, _BROKEN):
        return DataError(f"Cannot {what}: a record at {place} is broken ({reason}); restore the topic.")
    if isinstance(error, _REFUSED) or "AuthorizationFailedError" in reason:
        # a producer that may write nowhere is told so in the text of a general error
        return UsageError(f"Cannot {what}: {place} refuses it ({reason}); correct the user, password or access rights.")
    if isinstance(error, _UNSUITABLE):
        return UsageError(f"Cannot {what}: {place} does not take it ({reason}); correct the topic's name or settings.")
    return TransientError(f"Cannot {what}: {place} does not do it now ({reason}); trying again.", _RETRY_DELAY_S)


def _describe(error: BaseException) -> str:
    if isinstance(error, errors.OffsetOutOfRangeError) and error.args and isinstance(error.args[0], dict):
        places = (f"partition {place.partition}, offset {offset}" for place, offset in error.args[0].items())
        return "; ".join(places)
    return str(error).strip().rstrip(".") or type(error).__name__
