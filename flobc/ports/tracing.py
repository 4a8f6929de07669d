"""Port: traces, which tell what became of one update in every process that had to do with it.

A place in a trace is named as W3C Trace Context names it, by a ``traceparent``: trace id, span id, and whether somebody
keeps the trace. It is text, so that it goes through Kafka headers, gRPC metadata and logs alike; "" is no place at all.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Protocol

MAX_TRACES = 128
"""How many places one record may carry, and one span link to: of more the first ones are taken."""
_FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[str] = ContextVar("flobc_trace", default="")


class Span(Protocol):
    """One piece of work under way."""

    @property
    def trace(self) -> str:
        """Its place, for its children and for whoever links to it."""
        ...

    def end(self, **attributes: str | int) -> None:
        """It is done; an attribute ``error`` says that it failed. Ending it again does nothing."""
        ...


class Tracer(Protocol):
    """Begins spans. May be called from any thread and never fails for what was traced."""

    def start(self, name: str, parent: str = "", links: Sequence[str] = (), **attributes: str | int) -> Span:
        """Begin a span below ``parent``, or a trace of its own; ``links`` are what was joined in it."""
        ...


class _NoSpan:
    """A span that nobody notes."""

    trace = ""

    def end(self, **attributes: str | int) -> None:
        """Note nothing."""


class _NoTracer:
    """For whoever is not to trace."""

    def start(self, name: str, parent: str = "", links: Sequence[str] = (), **attributes: str | int) -> Span:  # noqa: ARG002
        """Begin nothing."""
        return NO_SPAN


NO_SPAN: Span = _NoSpan()
NO_TRACES: Tracer = _NoTracer()


def read_traceparent(value: object) -> str:
    """Return the place that a stranger's header names, or "" when it is none: no header makes anything fail.

    The version is not looked at, as the standard asks for; a longer value of a later version is not taken.
    """
    found = _FORM.fullmatch(value) if isinstance(value, bytes) else None
    return "" if found is None else f"00-{b'-'.join(found.groups()).decode()}"


def get_trace_id(trace: str) -> str:
    """Return the 32 digits that all places of one trace have in common."""
    return trace[3:35]


def get_span_id(trace: str) -> str:
    """Return the 16 digits of one span."""
    return trace[36:52]


def get_current_trace() -> str:
    """Return where the present work belongs, or ""."""
    return _current.get()


@contextlib.contextmanager
def within(trace: str) -> Iterator[None]:
    """Let what is done inside, and what it submits to a scheduler, belong to a trace."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
