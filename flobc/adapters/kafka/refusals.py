"""Refused logins, which the library hears of and then tries again as if the broker were away."""

from __future__ import annotations

from typing import Any

from kafka import errors  # type: ignore[import-untyped]

from flobc.adapters.kafka.reading import read_in_large_pieces

LOGIN_REFUSED = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)


def raise_refusals(manager: Any) -> None:
    """Make the library's connections raise a refused login at the next attempt.

    It means to, but forgets each one at once; and a broker's last words, that the password is wrong, are lost to it
    when the end of the connection comes with them.
    """
    refused: dict[Any, BaseException] = {}
    get_connection, build_transport = manager.get_connection, manager._build_transport

    def get_and_listen(node: Any, *arguments: Any, **options: Any) -> Any:
        def note(error: BaseException) -> None:
            if isinstance(error, LOGIN_REFUSED):
                refused[node] = error

        if node in refused:
            raise refused.pop(node)
        connection = get_connection(node, *arguments, **options)
        connection.init_future.add_errback(note)
        return connection

    async def build_listening(*arguments: Any, **options: Any) -> Any:
        transport = await build_transport(*arguments, **options)
        read_in_large_pieces(transport)
        _hear_last_words(transport)
        return transport

    manager.get_connection, manager._build_transport = get_and_listen, build_listening


def _hear_last_words(transport: Any) -> None:
    receive = transport._sock_recv
    ends: list[BaseException] = []

    def receive_words_first() -> tuple[bytes, BaseException | None]:
        if ends:
            return b"", ends.pop()
        data, end = receive()
        if data and end is not None:
            ends.append(end)
            end = None
        return data, end

    transport._sock_recv = receive_words_first
