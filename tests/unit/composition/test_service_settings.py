"""What a service is told at its start: each wrong or missing variable is one sentence that names it."""

from __future__ import annotations

import io
import json
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flobc.adapters.memory import MemoryModels
from flobc.composition.services.models import KEPT_MODELS, FetchedModels, RecentModels
from flobc.composition.services.parts import Loop, get_topic_names, load_genesis_file
from flobc.composition.services.serving import (
    EXIT_STOPPED,
    EXIT_USAGE,
    JsonFormatter,
    describe_settings,
    serve,
    set_up_logging,
)
from flobc.composition.services.settings import (
    LearnerSettings,
    LedgerSettings,
    ServiceSettings,
    TrainerSettings,
    ValidatorSettings,
    load_settings,
    split_addresses,
)
from flobc.errors import DataError, FlobcError, TransientError, UsageError
from flobc.protocol.encoding import encode
from flobc.protocol.params import get_chain_id
from tests.support.dialogue import build_genesis, digest

KINDS: list[type[ServiceSettings]] = [TrainerSettings, ValidatorSettings, LedgerSettings]
GOOD = {
    "GENESIS": "chain/genesis",
    "DATA": "node",
    "KAFKA": "localhost:9092",
    "KEY": "node.key",
    "INDEX": "1",
    "SHARDS": "4",
    "LEDGERS": "localhost:7001",
    "VALIDATORS": "localhost:7002",
    "REDIS": "localhost:6379",
}
REQUIRED = [(kind, name) for kind in KINDS for name, field in kind.model_fields.items() if field.is_required()]
WRONG = [
    ("INDEX", "one"),
    ("INDEX", "-1"),
    ("SHARDS", "0"),
    ("SHARDS", "1.5"),
    ("SEED", "s3cret"),
    ("KEEP_PAYLOADS", "?"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(f"FLOBC_{name}", value)


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("flobc")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]


def require_one_sentence(message: str, name: str) -> None:
    assert message.startswith(f"FLOBC_{name} ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "pydantic" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_good_settings_are_taken(kind: type[ServiceSettings]) -> None:
    settings = load_settings(kind)
    assert settings.genesis == Path("chain/genesis")
    assert settings.kafka == "localhost:9092"


@pytest.mark.parametrize(("kind", "name"), REQUIRED)
def test_a_missing_variable_is_one_sentence(
    kind: type[ServiceSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"FLOBC_{name.upper()}")
    with pytest.raises(UsageError) as caught:
        load_settings(kind)
    require_one_sentence(str(caught.value), name.upper())
    assert "required" in str(caught.value)
    assert str(kind.model_fields[name].description) in str(caught.value)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_variable_is_one_sentence(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FLOBC_{name}", value)
    with pytest.raises(UsageError) as caught:
        load_settings(ValidatorSettings)
    require_one_sentence(str(caught.value), name)
    assert "s3cret" not in str(caught.value)


def test_a_share_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOBC_INDEX", "4")
    with pytest.raises(UsageError) as caught:
        load_settings(LearnerSettings).get_place()
    require_one_sentence(str(caught.value), "INDEX")
    monkeypatch.setenv("FLOBC_INDEX", "3")
    place = load_settings(LearnerSettings).get_place()
    assert (place.index, place.shards, place.sharding, place.seed) == (3, 4, "iid", 0)


def test_a_process_of_several_trainers_has_the_next_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOBC_SHARDS", "5")
    monkeypatch.setenv("FLOBC_TRAINERS_PER_PROCESS", "3")
    monkeypatch.setenv("FLOBC_KEY", "keys/trainer-{index}")
    settings = load_settings(TrainerSettings)
    assert list(settings.list_indices()) == [3, 4]
    assert settings.get_place().index == 3
    assert [settings.get_key_path(index) for index in (3, 4)] == [Path("keys/trainer-3"), Path("keys/trainer-4")]
    monkeypatch.setenv("FLOBC_KEY", "node.key")
    with pytest.raises(UsageError) as caught:
        load_settings(TrainerSettings).get_key_path(3)
    require_one_sentence(str(caught.value), "KEY")
    monkeypatch.setenv("FLOBC_INDEX", "2")
    with pytest.raises(UsageError) as caught:
        load_settings(TrainerSettings).list_indices()
    require_one_sentence(str(caught.value), "INDEX")
    monkeypatch.setenv("FLOBC_TRAINERS_PER_PROCESS", "0")
    with pytest.raises(UsageError) as caught:
        load_settings(TrainerSettings)
    require_one_sentence(str(caught.value), "TRAINERS_PER_PROCESS")


def test_settings_do_not_change() -> None:
    settings = load_settings(LedgerSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.redis = "localhost:1"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [("", ()), (" , ", ()), ("a:1", ("a:1",)), ("a:1, b:2,", ("a:1", "b:2")), ("[::1]:7", ("[::1]:7",))],
)
def test_lists_of_addresses(text: str, addresses: tuple[str, ...]) -> None:
    assert split_addresses(text) == addresses


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_every_variable(kind: type[ServiceSettings]) -> None:
    text = describe_settings("flobc-node", "Is a node.", kind)
    for name, field in kind.model_fields.items():
        assert f"FLOBC_{name.upper()} " in text
        assert str(field.description) in text


def run_service(error: FlobcError | None = None, arguments: tuple[str, ...] = ()) -> int:
    def run(settings: ServiceSettings, loop: Loop) -> None:
        loop.stop()
        loop.run()
        if error is not None:
            raise error

    return serve("flobc-node", "Is a node.", LedgerSettings, run, arguments=arguments)


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_exit_codes_say_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_service() == 0
    assert run_service(UsageError("There is no such chain; give another one.")) == EXIT_USAGE
    assert run_service(TransientError("Redis is away; start it.", 1.0)) == EXIT_STOPPED
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("flobc-node: ")]
    assert errors == [
        "flobc-node: There is no such chain; give another one.",
        "flobc-node: Redis is away; start it.",
    ]
    monkeypatch.setenv("FLOBC_LOG_LEVEL", "LOUD")
    assert run_service() == EXIT_USAGE
    assert "FLOBC_LOG_LEVEL 'LOUD'" in capsys.readouterr().err
    monkeypatch.delenv("FLOBC_REDIS")
    assert run_service() == EXIT_USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_arguments_are_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_service(arguments=("--help",)) == 0
    assert run_service(arguments=("--port", "7")) == EXIT_USAGE
    assert capsys.readouterr().out.count("usage: flobc-node") == 2


def test_each_log_line_is_one_json_object() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    own = logging.getLogger("flobc.test")
    own.addHandler(handler)
    try:
        own.warning('block %d\nis "there"', 3, extra={"height": 3})
        try:
            raise ValueError("bad")
        except ValueError:
            own.exception("broken")
    finally:
        own.removeHandler(handler)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["level"], first["height"]) == ('block 3\nis "there"', "warning", 3)
    assert first["time"].endswith("Z")
    assert "ValueError: bad" in second["error"]


def test_other_libraries_speak_from_warning_on() -> None:
    set_up_logging("DEBUG")
    assert logging.getLogger("flobc").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("another").isEnabledFor(logging.INFO)


def test_a_genesis_that_is_missing_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    genesis = build_genesis()
    path = tmp_path / "genesis"
    with pytest.raises(DataError, match="no usable genesis"):
        load_genesis_file(path)
    path.write_bytes(encode(genesis)[:-1])
    with pytest.raises(DataError, match="no usable genesis"):
        load_genesis_file(path)
    path.write_bytes(encode(genesis))
    assert load_genesis_file(path) == genesis
    log, updates = get_topic_names(genesis)
    assert log != updates
    assert get_chain_id(genesis).hex()[:16] in log


def test_waits_for_what_is_not_ready_until_it_is_or_until_stopped() -> None:
    loop, attempts = Loop(), []

    def attempt() -> None:
        attempts.append(1)
        if len(attempts) == 2:
            loop.stopping.set()
        raise TransientError("it is away", 0.01)

    assert loop.wait_for("it", lambda: None)
    assert not loop.wait_for("it", attempt)
    assert len(attempts) == 2


def test_a_failure_ends_the_loop_and_is_raised_once() -> None:
    loop = Loop()
    first = DataError("the first; look at it")
    loop.scheduler.post(lambda: loop.fail(first))
    loop.scheduler.post(lambda: loop.fail(DataError("the second; look at it")))
    with pytest.raises(DataError, match="the first"):
        loop.run()
    assert loop.stopping.is_set()


def test_models_are_asked_for_until_they_are_there_and_kept() -> None:
    model, asked = np.arange(3, dtype=np.int32), []

    def fetch(wanted: bytes) -> np.ndarray | None:
        asked.append(wanted)
        if len(asked) == 1:
            raise TransientError("nobody is there", 0.01)
        return model if len(asked) > 2 else None

    stopping = threading.Event()
    stopping.wait = lambda timeout=None: False  # type: ignore[method-assign]  # waits no time
    models = FetchedModels(MemoryModels(), fetch, stopping)
    assert models.get(digest("model")) is model
    assert models.get(digest("model")) is model
    assert asked == [digest("model")] * 3


def test_a_stop_ends_the_waiting_for_a_model() -> None:
    stopping = threading.Event()
    stopping.set()
    assert FetchedModels(MemoryModels(), lambda _: None, stopping).get(digest("model")) is None
    assert FetchedModels(MemoryModels(), None, threading.Event()).get(digest("model")) is None


def test_recent_models_are_few() -> None:
    models = RecentModels()
    vectors = [np.full(2, number, dtype=np.int32) for number in range(KEPT_MODELS + 2)]
    for number, vector in enumerate(vectors):
        models.put(digest(number), vector)
    held = [number for number in range(len(vectors)) if models.get(digest(number)) is not None]
    assert held == list(range(2, len(vectors)))
    models.keep_only(frozenset([digest(held[-1])]))
    assert [number for number in held if models.get(digest(number)) is not None] == held[-1:]


def test_trainers_beyond_the_last_shard_may_have_the_first_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps its own number, so it has its own key and trains differently from whom it shares a shard with."""
    monkeypatch.setenv("FLOBC_SHARDS", "5")
    monkeypatch.setenv("FLOBC_TRAINERS_PER_PROCESS", "2")
    monkeypatch.setenv("FLOBC_INDEX", "6")
    with pytest.raises(UsageError):
        load_settings(TrainerSettings).list_indices()
    monkeypatch.setenv("FLOBC_REUSE_SHARDS", "true")
    settings = load_settings(TrainerSettings)
    assert list(settings.list_indices()) == [12, 13]
    assert settings.get_place().index == 2
