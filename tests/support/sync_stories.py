"""Plays short stories of a round through the sync policies and draws them as a table."""

from __future__ import annotations

from dataclasses import replace

from flobc.protocol.sync.params import SyncParams
from flobc.protocol.sync.policies import Close, Open, RoundView, advance_step, decide

TRAINERS = tuple(bytes([i]) * 32 for i in range(5))

SCHEMES = {
    "bsp": SyncParams(scheme="bsp"),
    "ssp": SyncParams(scheme="ssp"),
    "bap": SyncParams(scheme="bap"),
    "bsp, prototype": SyncParams(scheme="bsp", barrier_only_at_period=True),
    "ssp, prototype": SyncParams(scheme="ssp", barrier_only_at_period=True),
}

STORIES = {
    "All five trainers are in time": ["open", "decide", "decide", "decide", "decide", "decide", "expire"],
    "Two of five stay away": ["open", "decide", "decide", "expire", "decide", "expire"],
    "Nobody has anything for a long time": ["open", "expire", "expire", "decide", "expire"],
}


def after(view: RoundView, event: str) -> RoundView:
    """The view after "open", "decide" (one more trainer's update) or "expire" (a quorum of Timeouts)."""
    if event == "decide":
        count = len(view.decided_trainers) + 1
        return replace(view, decided_trainers=TRAINERS[:count], decided_updates=view.decided_updates + 1)
    return advance_step(view) if event == "expire" else view


def play(params: SyncParams, events: list[str]) -> list[str]:
    """What the scheme says after each event; blank once closed, or where no timer runs that could expire."""
    view = RoundView(active=TRAINERS)
    decision: Open | Close = Open(None)
    said = []
    for event in events:
        if isinstance(decision, Close) or (event == "expire" and decision.timer is None):
            said.append("")
            continue
        view = after(view, event)
        decision = decide(params, view)
        said.append(describe(decision))
    return said


def describe(decision: Open | Close) -> str:
    if isinstance(decision, Close):
        return f"close: {decision.reason}"
    if decision.timer is None:
        return "no timer"
    return f"timer {decision.timer.step}: {decision.timer.duration_ms // 1000} s"


def render_stories() -> str:
    parts = []
    for title, events in STORIES.items():
        columns = [play(params, events) for params in SCHEMES.values()]
        rows = [f"| {title} | " + " | ".join(SCHEMES) + " |", "|---" * (len(SCHEMES) + 1) + "|"]
        for i, event in enumerate(events):
            rows.append("| " + " | ".join([event, *(column[i] for column in columns)]) + " |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)
