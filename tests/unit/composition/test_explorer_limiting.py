"""What a stranger may hold open at an explorer: no half-sent request, and so many streams and connections."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from flobc.composition.explorer import limiting
from tests.support.explored import PATIENCE_S, Viewer, explored

SHORT_S = 0.3


def connect(viewer: Viewer) -> socket.socket:
    host, _, port = viewer.address.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def read_to_the_end(connection: socket.socket) -> bytes:
    """What the explorer sends until it hangs up."""
    data = b""
    try:
        while piece := connection.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


def read_until(connection: socket.socket, words: bytes) -> None:
    data = b""
    while words not in data:
        piece = connection.recv(1 << 16)
        assert piece, f"hung up on after {data!r}"
        data += piece


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
        b"POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        b"POST /training/compare HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_who_does_not_send_a_whole_request_in_time_is_hung_up_on(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "HEAD_S", SHORT_S)
    monkeypatch.setattr(limiting, "BODY_S", SHORT_S)
    with explored(1) as viewer, connect(viewer) as connection:
        connection.settimeout(10.0)
        connection.sendall(half[:-1])
        connection.sendall(half[-1:])
        read_to_the_end(connection)  # a time-out fails


def test_a_connection_that_is_kept_and_a_stream_outlive_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "HEAD_S", 1.0)  # a busy machine sends late
    with explored(1) as viewer, connect(viewer) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        with connect(viewer) as kept, connect(viewer) as silent:
            for _ in range(2):
                kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                read_until(kept, b"alive")
                silent.settimeout(10.0)
                read_to_the_end(silent)  # the deadline has passed
        viewer.world.grow()
        read_until(connection, b'"height": 2')


def test_streams_are_bounded_by_address_and_come_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "MAX_STREAMS_EACH", 2)
    with explored(1) as viewer:
        with ExitStack() as streams:
            for _ in range(2):
                assert streams.enter_context(viewer.client.stream("GET", "/events")).status_code == 200
            for path in ("/events", "/verify/events"):
                assert "Too many viewers" in viewer.get(path, 503).text
            viewer.get("/")
        viewer.wait_for(lambda: viewer.client.get("/verify/events").status_code == 200, "a seat")
        for _ in range(5):  # each gives its seat back
            viewer.wait_for(lambda: viewer.client.get("/verify/events").status_code == 200, "a seat")


def test_streams_are_bounded_in_all() -> None:
    seats = limiting.Seats()
    taken = [f"{number % 5}" for number in range(limiting.MAX_STREAMS)]
    assert all(seats.take(address) for address in taken)
    assert not seats.take("another")
    seats.leave(taken[0])
    assert seats.take("another")


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some more than are served are told why; all others are hung up on at once."""
    monkeypatch.setattr(limiting, "MAX_CONNECTIONS", 4)
    with explored(1) as viewer, ExitStack() as connections:
        for _ in range(4):
            connections.enter_context(connect(viewer)).sendall(b"GET / HTTP/1.1\r\n")
        with connect(viewer) as told:
            told.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_to_the_end(told).startswith(b"HTTP/1.1 503 ")
            for _ in range(2):
                connections.enter_context(connect(viewer)).settimeout(5.0)
            with connect(viewer) as refused:
                refused.settimeout(5.0)  # sooner than HEAD_S
                assert read_to_the_end(refused) == b""
