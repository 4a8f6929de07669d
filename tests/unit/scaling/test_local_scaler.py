"""Scaling a system on this machine: what its chain allows, and what it would take to have more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.genesis import build_federation
from flobc.composition.local.plan import Plan, load_plan, save_plan
from flobc.composition.local.system import INVITATION
from flobc.composition.run_directory import load_genesis, save_beginning
from flobc.composition.scaling.local import LocalScaler
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.composition.scaling.targets import RunningSystem
from flobc.composition.settings import RunSettings
from flobc.errors import DataError, UsageError
from flobc.learning.tasks import get_task
from flobc.protocol.params import AdmissionParams, ChainParams
from tests.support.dialogue import OPERATOR, identities

TRAINERS, VALIDATORS = 3, 4
PLAN = Plan("127.0.0.1:1", "127.0.0.1:2", ("127.0.0.1:3",), ("127.0.0.1:4",) * VALIDATORS, TRAINERS)


def make_system(root: Path, admission: AdmissionParams | None = None, **plan: int) -> LocalScaler:
    """The directory of a system of which nothing runs."""
    settings = RunSettings(
        task="synthetic:examples=100,parameters=10",
        trainers=TRAINERS,
        validators=VALIDATORS,
        params=dataclasses.replace(ChainParams(), admission=admission or AdmissionParams()),
    )
    members = identities("trainer", TRAINERS), identities("validator", VALIDATORS)
    federation = build_federation(settings, get_task(settings.task), members)
    root.mkdir()
    save_beginning(root, settings, federation.genesis)
    save_plan(root, dataclasses.replace(PLAN, **plan))
    return LocalScaler(root)


@pytest.mark.parametrize(
    ("role", "replicas", "words"),
    [
        ("trainer", 4, r"admits the 3 trainers of its genesis alone.*flobc up --dir DIR --trainers 4"),
        ("trainer", -1, "cannot be -1 trainers"),
        ("validator", 5, "has 4 validators for its life.*flobc scale --validators 5 .* --successor"),
        ("validator", 2, "3 must agree on every block.*leave 3"),
    ],
)
def test_invalid_numbers_say_what_to_do(role: str, replicas: int, words: str, tmp_path: Path) -> None:
    """CHAIN-5, CHAIN-9."""
    scaler = make_system(tmp_path / "system")
    with pytest.raises(UsageError, match=words):
        scaler.set_replicas(role, replicas)  # type: ignore[arg-type]
    assert load_plan(tmp_path / "system") == PLAN


def test_an_open_chain_takes_more_up_to_its_most(tmp_path: Path) -> None:
    """CHAIN-9."""
    scaler = make_system(tmp_path / "system", AdmissionParams(mode="open", max_trainers=5))
    scaler.validate_replicas("trainer", 5)
    with pytest.raises(UsageError, match="takes 5 trainers at most, not 6"):
        scaler.validate_replicas("trainer", 6)


def test_more_by_invitation_take_one(tmp_path: Path) -> None:
    """CHAIN-9."""
    root = tmp_path / "system"
    scaler = make_system(root, AdmissionParams(mode="invite", operator=OPERATOR.public_key))
    scaler.validate_replicas("trainer", TRAINERS)
    with pytest.raises(UsageError, match=rf"flobc invite --genesis .* --max-joins 2 .* --out {root / INVITATION}"):
        scaler.validate_replicas("trainer", 5)
    (root / INVITATION).write_text("{}")
    scaler.validate_replicas("trainer", 5)


@pytest.mark.parametrize(("replicas", "possible"), [(0, True), (2, True), (3, True), (1, False), (4, False)])
def test_trainers_that_share_a_process_come_and_go_together(replicas: int, possible: bool, tmp_path: Path) -> None:
    scaler = make_system(tmp_path / "system", trainers_per_process=2)
    if possible:
        scaler.validate_replicas("trainer", replicas)
    else:
        with pytest.raises(UsageError, match="hosts 2 trainers"):
            scaler.validate_replicas("trainer", replicas)


def test_a_plan_with_other_validators_is_refused_for_a_running_system(tmp_path: Path) -> None:
    make_system(tmp_path / "system")
    steps = (Step(2, VALIDATORS), Step(2, 3))
    target = RunningSystem(tmp_path / "system", LoadPlan("x", steps), print)
    with pytest.raises(UsageError, match=r"step 2:3 asks for 3 validators, but .* has 4 for its life; leave --dir out"):
        target.validate(steps)
    target.validate(steps[:1])


def test_invalid_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no run"):
        LocalScaler(tmp_path)
    make_system(tmp_path / "system")
    assert len(load_genesis(tmp_path / "system").validators) == VALIDATORS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scale", "needs --trainers or --validators"),
        ("scale --trainers 3", "--dir DIR on this machine, or --release NAME"),
        ("scale --trainers many --dir system", "--trainers must be a whole number"),
        (
            "scale --trainers 3 --dir system -n flobc",
            "--namespace is for a release on Kubernetes",
        ),
        ("scale --trainers 2 --dir system", "The system in {here}/system does not run; start it with: flobc up --dir"),
        ("load", "flobc load needs"),
        ("load plan.yaml", "needs --output"),
        ("load nowhere.yaml --output out", "There is no plan"),
        ("load plan.yaml --output out --relaese x", "did you mean '--release'?"),
        ("load wrong.yaml --output out", "no key system.tassk; did you mean 'task'?"),
        ("load plan.yaml --output out --release x --dir system", "--release is for a release on Kubernetes"),
        ("load plan.yaml --output out --kafka here:9092", "--kafka is for a release on Kubernetes; give --release"),
    ],
)
def test_invalid_command_lines(
    line: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_system(tmp_path / "system")
    (tmp_path / "plan.yaml").write_text('nodes: 2\nratios: ["1:1"]\n')
    (tmp_path / "wrong.yaml").write_text('nodes: 2\nratios: ["1:1"]\nsystem: {tassk: digits}\n')
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words.format(here=tmp_path) in err
    assert not (tmp_path / "out").exists()


def test_without_the_extra_packages_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flobc.cli.scaling.find_spec", lambda name: None)
    assert main(["load", "plan.yaml", "--output", str(tmp_path / "out")]) == 2
    assert "flobc load needs yaml, matplotlib" in (told := capsys.readouterr().err)
    assert "pip install 'flobc[operator]'" in told
    assert main(["scale", "--release", "x", "--trainers", "2"]) == 2
    assert "needs kubernetes" in capsys.readouterr().err
