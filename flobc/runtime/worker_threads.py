"""How the threads that compute are prepared."""

from __future__ import annotations

from flobc.learning.threads import limit_threads
from flobc.numerics.parallel import run_inline


def prepare_worker() -> None:
    """Let each worker compute on its own thread alone, so that no result depends on the machine's cores."""
    limit_threads()
    run_inline()
