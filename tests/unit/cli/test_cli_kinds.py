"""Option values: what is read, what is refused, and that what is shown can be read again."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.cli import kinds
from flobc.cli.kinds import Kind
from flobc.errors import UsageError
from flobc.protocol.bounds import PPM

ALL_KINDS = {
    "whole": kinds.whole(1, 10_000),
    "seed": kinds.seed(),
    "heights": kinds.heights(),
    "share": kinds.scaled(PPM, "0", "1"),
    "seconds": kinds.scaled(1000, "0.001", "604800", "SECONDS"),
    "number above 0": kinds.number(zero=False),
    "number from 0": kinds.number(zero=True),
    "choice": kinds.choice("bsp", "ssp", "bap"),
    "path": kinds.path(),
}


@pytest.mark.parametrize("kind", ALL_KINDS.values(), ids=ALL_KINDS)
@given(
    text=st.text(max_size=12) | st.from_regex(r"[-+]?[0-9]{0,40}(\.[0-9]{0,9})?(e[-+]?[0-9]{1,10})?", fullmatch=True)
)
def test_any_text_is_read_or_refused_in_one_sentence(kind: Kind, text: str) -> None:
    refusal = None
    try:
        kind.read("--option", text)
    except UsageError as error:
        refusal = str(error)
    assert refusal is None or (refusal.startswith("--option must be ") and repr(text) in refusal)


@given(st.integers(0, PPM))
def test_a_share_is_exact(ppm: int) -> None:
    kind = kinds.scaled(PPM, "0", "1")
    assert kind.read("--share", str(Decimal(ppm) / PPM)) == ppm


@given(st.integers(1, 604_800_000))
def test_seconds_are_exact_milliseconds(period_ms: int) -> None:
    kind = kinds.scaled(1000, "0.001", "604800")
    assert kind.read("--period", str(Decimal(period_ms) / 1000)) == period_ms


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kinds.whole(1), ""),
        (kinds.whole(1), "0"),
        (kinds.whole(1), "1.5"),
        (kinds.whole(1), "٣"),
        (kinds.whole(1), "9" * 5000),
        (kinds.seed(), str(2**63)),
        (kinds.heights(), "-1"),
        (kinds.scaled(PPM, "0.000001", "1"), "0"),
        (kinds.scaled(PPM, "0", "1"), "1.0000001"),
        (kinds.scaled(PPM, "0", "1"), "nan"),
        (kinds.scaled(PPM, "0", "1"), "1e999999999"),
        (kinds.number(zero=False), "0"),
        (kinds.number(zero=False), "inf"),
        (kinds.number(zero=False), "1e400"),
        (kinds.number(zero=True), "-0.1"),
        (kinds.choice("bsp", "ssp"), "BSP"),
        (kinds.path(), ""),
    ],
)
def test_invalid_values(kind: Kind, text: str) -> None:
    with pytest.raises(UsageError):
        kind.read("--option", text)


def test_a_mistyped_word_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"not 'bps'; did you mean 'bsp'\?"):
        kinds.choice("bsp", "ssp", "bap").read("--sync", "bps")


@pytest.mark.parametrize("text", ["0", "7", "unbounded"])
def test_heights_are_shown_as_they_are_read(text: str) -> None:
    assert kinds.heights().show(kinds.heights().read("--max-staleness", text)) == text


@pytest.mark.parametrize("given", ["~0", "~nobody-at-all/x"])
def test_invalid_home_names_the_option(given: str) -> None:
    with pytest.raises(UsageError, match="--dir must be a path"):
        kinds.path().read("--dir", given)


def test_a_path_is_absolute_and_knows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kinds.path().read("--dir", "~/x") == tmp_path / "x"
