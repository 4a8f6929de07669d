"""What a person sees of a run where there is no terminal to draw on: a line per round."""

from __future__ import annotations

from flobc.cli.output import Talk, show_share
from flobc.composition.reports import RoundReport, TestReport
from flobc.protocol.consensus.state import ChainState


class PlainProgress:
    """Prints one line per round on stderr, when its model is tested."""

    def __init__(self, talk: Talk, opening: str) -> None:
        self._talk = talk
        self._opening = opening
        self._report: RoundReport | None = None

    def on_start(self, state: ChainState, rounds: int, warning: str | None) -> None:
        """Print what is run, and what is to be warned of."""
        self._talk.say(self._opening)
        del state, rounds
        if warning:
            self._talk.warn(warning)

    def on_update(self, height: int, received: int, decided: int, expected: int) -> None:
        """Say nothing: updates are too many for lines."""

    def on_round(self, report: RoundReport) -> None:
        """Keep a round until its test is there."""
        self._flush(None)
        self._report = report

    def on_test(self, report: TestReport) -> None:
        """Print the round that made the tested model."""
        if self._report and self._report.height == report.height:
            self._flush(report.accuracy)

    def _flush(self, accuracy: float | None) -> None:
        if self._report:
            self._talk.say(describe_round(self._report, accuracy))
        self._report = None


def describe_round(report: RoundReport, accuracy: float | None) -> str:
    """Return a round as one line."""
    return (
        f"round {report.height}/{report.rounds}  {report.accepted} accepted, {report.rejected} rejected  "
        f"test accuracy {show_share(accuracy)}  {report.seconds:.1f} s"
    )
