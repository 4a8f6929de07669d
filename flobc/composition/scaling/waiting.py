"""Setting the replicas of a system and waiting until it has them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from flobc.composition.wording import show_count
from flobc.errors import TransientError
from flobc.ports.scaler import SCALED_ROLES, ScaledRole, Scaler

READY_S = 300.0
POLL_S = 0.5


def scale(
    scaler: Scaler,
    wanted: Mapping[ScaledRole, int],
    timeout_s: float = READY_S,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Set the replicas of each role that is named and return when all of them have come up.

    **Raises** UsageError, with nothing changed, when one of the numbers cannot be had; TransientError when the nodes
    have not come up in time: they may still.
    """
    for role, replicas in wanted.items():
        scaler.validate_replicas(role, replicas)
    # validators first: what new trainers send is scored by as many as are asked for
    roles = [role for role in reversed(SCALED_ROLES) if role in wanted]
    for role in roles:
        scaler.set_replicas(role, wanted[role])
    wait_until(
        lambda: all(scaler.is_ready(role) for role in roles),
        f"{' and '.join(show_count(wanted[role], role) for role in roles)} to come up",
        timeout_s,
        wait,
        now,
    )


def wait_until(
    is_so: Callable[[], bool],
    what: str,
    timeout_s: float,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Ask until it is so; what cannot be asked for the moment is not so.

    **Raises** TransientError after ``timeout_s``.
    """
    until_s = now() + timeout_s
    while True:
        with contextlib.suppress(TransientError):
            if is_so():
                return
        if now() > until_s:
            raise TransientError(f"Waited {timeout_s:.0f} s for {what}, and it was not so; look at its logs.", POLL_S)
        wait(POLL_S)
