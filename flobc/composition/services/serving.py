"""The frame of every service's program: help, settings, logs, signals and exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic.fields import FieldInfo

from flobc import __version__
from flobc.composition.services.access import ACCESS_FIELDS
from flobc.composition.services.parts import Loop
from flobc.composition.services.settings import ProgramSettings, load_settings
from flobc.composition.services.settings_file import FILE_OPTION, FILE_VARIABLE, find_settings_file
from flobc.errors import FlobcError, UsageError
from flobc.ports.tracing import get_current_trace, get_span_id, get_trace_id
from flobc.runtime.memory import keep_freed_memory

S = TypeVar("S", bound=ProgramSettings)

EXIT_USAGE = 2
EXIT_STOPPED = 4
DRAIN_S = 10.0
"""How long after a signal a service may take to end: then it is ended, which is a crash that it is made for."""
EXTRA_FIELDS = ("chain", "height", "update", "linked_trace_ids")

logger = logging.getLogger("flobc")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and chain, height, update or trace where they are known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in EXTRA_FIELDS if hasattr(record, name)}
        trace = getattr(record, "trace", "") or get_current_trace()
        if trace:
            line |= {"trace_id": get_trace_id(trace), "span_id": get_span_id(trace)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def serve(
    program: str,
    about: str,
    kind: type[S],
    run: Callable[[S, Loop], None],
    prepare_worker: Callable[[], None] = lambda: None,
    arguments: Sequence[str] | None = None,
    workers: int | None = None,
) -> int:
    """Be the service until SIGTERM or SIGINT and return the exit code: 0 after a signal, 2 for wrong settings.

    ``workers`` is the number of threads beside the loop, one per core unless given.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    file = find_settings_file(given)
    if given and file is None:
        print(describe_settings(program, about, kind), end="")
        return 0 if given in (["--help"], ["-h"]) else EXIT_USAGE
    try:
        settings = load_settings(kind, file)
        set_up_logging(settings.log_level)
        keep_freed_memory()
        loop = Loop(prepare_worker, workers)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _end(program, loop))
        logger.info("%s starts", program)
        loop.metrics.set("flobc_build_info", 1, version=__version__, role=program.removeprefix("flobc-"))
        if settings.metrics:
            logger.info("serving metrics on %s", loop.metrics.serve(settings.metrics))
        try:
            run(settings, loop)
        finally:
            loop.metrics.close()
    except UsageError as error:
        print(f"{program}: {error}", file=sys.stderr, flush=True)
        return EXIT_USAGE
    except FlobcError as error:
        print(f"{program}: {error}", file=sys.stderr, flush=True)
        return EXIT_STOPPED
    logger.info("%s ends", program)
    return 0


def _end(program: str, loop: Loop) -> None:
    """Ask the loop to end, and see to it that the process does."""
    if loop.stopping.is_set():
        return
    loop.stop()

    def give_up() -> None:
        logger.warning("%s was not done after %.0f s and ends now", program, DRAIN_S)
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(DRAIN_S, give_up)
    timer.daemon = True
    timer.start()


def set_up_logging(level: str) -> None:
    """Write the log as JSON lines to stderr; the libraries' own chatter only from WARNING on.

    Kafka's client is silent: while a broker is away it says so many times a second, and we say it ourselves.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if level not in logging.getLevelNamesMapping():
        raise UsageError(f"FLOBC_LOG_LEVEL {level!r} is no level; choose DEBUG, INFO, WARNING or ERROR.")
    logger.setLevel(level)


def describe_settings(program: str, about: str, kind: type[ProgramSettings]) -> str:
    """Return the help text: every variable, its default and what it means."""
    fields = kind.model_fields
    lines = [
        f"usage: {program} [{FILE_OPTION} PATH]",
        "",
        about,
        "",
        f"Settings, from the environment or from lines NAME=VALUE of the file PATH or {FILE_VARIABLE}:",
        *(_describe_setting(name, fields[name]) for name in fields if name not in ACCESS_FIELDS),
        "",
        "Access to Kafka, Redis and gRPC (none of it: no TLS, no passwords):",
        *(_describe_setting(name, fields[name]) for name in fields if name in ACCESS_FIELDS),
    ]
    return "\n".join(lines) + "\n"


def _describe_setting(name: str, field: FieldInfo) -> str:
    about = f"  FLOBC_{name.upper():<19} {field.description}"
    if field.default is None:
        return about
    return f"{about} (required)" if field.is_required() else f"{about} (default {field.default!r})"
