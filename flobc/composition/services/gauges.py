"""What is looked at every few seconds instead of counted as it happens: Redis, and processes beside the service's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flobc.adapters.redis import RedisClient
from flobc.composition.services.parts import Loop
from flobc.errors import FlobcError
from flobc.ports.metrics import Meter

WATCH_MS = 5_000

logger = logging.getLogger(__name__)


def watch_redis(redis: RedisClient, loop: Loop) -> None:
    """Enter what Redis says of itself, now and again and again; one look at a time, on a worker."""
    evicted: list[int] = []

    def look() -> None:
        try:
            note_info(loop.metrics, redis.get_info(), evicted)
        except FlobcError as error:
            logger.debug("Redis tells nothing of itself: %s", error)
            loop.metrics.set("flobc_redis_up", 0)

    _repeat("watch", look, loop)


def note_info(meter: Meter, info: dict[str, Any], evicted: list[int]) -> None:
    """Enter an answer to INFO; ``evicted`` holds what its count of dropped keys was the last time."""
    meter.set("flobc_redis_up", 1)
    meter.set("flobc_redis_memory_bytes", int(info.get("used_memory", 0)))
    meter.set("flobc_redis_memory_limit_bytes", int(info.get("maxmemory", 0)))
    meter.set("flobc_redis_clients", int(info.get("connected_clients", 0)))
    kept = all(info.get(name, "ok") == "ok" for name in ("aof_last_write_status", "rdb_last_bgsave_status"))
    meter.set("flobc_redis_persistence_ok", kept)
    count = int(info.get("evicted_keys", 0))
    # what was dropped before this ledger began to look is no news, and a restarted Redis counts from 0
    meter.add("flobc_redis_evicted_keys_total", count - evicted.pop() if evicted and count >= evicted[0] else 0)
    evicted[:] = [count]


def watch_workers(list_workers: Callable[[], Sequence[int]], loop: Loop) -> None:
    """Enter what a validator's scoring processes use: they serve no metrics themselves."""
    used_s: dict[int, float] = {}

    def look() -> None:
        resident_bytes = 0
        for number in list_workers():
            cpu_s, memory_bytes = read_usage(number)
            loop.metrics.add("flobc_workers_cpu_seconds_total", max(0.0, cpu_s - used_s.get(number, 0.0)))
            used_s[number] = cpu_s
            resident_bytes += memory_bytes
        loop.metrics.set("flobc_workers_resident_bytes", resident_bytes)

    _repeat("watch", look, loop)


def read_usage(number: int) -> tuple[float, int]:
    """Return a process's CPU seconds and resident bytes; nothing of one that is gone, or where there is no /proc."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0
    ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def _repeat(kind: str, work: Callable[[], None], loop: Loop) -> None:
    def again(_: None) -> None:
        loop.scheduler.call_later(WATCH_MS, start)

    def start() -> None:
        loop.scheduler.submit(kind, work, 0, again)

    start()
