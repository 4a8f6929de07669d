"""stdout is data, stderr is talk, and ``--json`` is one object a line."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc import __version__
from flobc.cli.commands import build_parser
from flobc.cli.main import complain, main
from flobc.cli.options import OPTIONS
from flobc.cli.output import Talk, print_fields, print_table
from flobc.cli.places import get_data_directory, get_runs_directory, list_runs, make_slug


def list_commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that does something, with the words before it."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for word, below in group.choices.items():
            yield from list_commands(below, (*words, word))
    if words and not groups:
        yield " ".join(words)


COMMANDS = tuple(list_commands(build_parser()))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: flobc {command}")
    assert "--json" in out
    assert "--quiet" in out
    assert err == ""


def test_what_a_stranger_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a task in a genesis, or of a column, may hold the bytes that clear a screen."""
    evil = "digits\x1b[2J\x1b]0;title\x07\r\n\u202e\x9b"
    print_fields([("task", evil)])
    print_table(("task",), [(evil,)])
    Talk().say(evil)
    complain(evil, 2)
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (*out.splitlines(), *err.splitlines()))
    assert (out.count("\n"), err.count("\n")) == (3, 2)
    assert "digits\\x1b[2J" in out


def test_help_and_version_load_no_library() -> None:
    code = (
        "import sys; from flobc.cli.main import main; main(['--help']); main(['run', '--help']);"
        "print([name for name in ('torch', 'numpy', 'numba', 'sklearn', 'rich', 'nacl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"flobc {__version__}\n"


def test_run_takes_every_option_of_the_table() -> None:
    arguments = build_parser().parse_args(["run"])
    assert all(getattr(arguments, option.name) is None for option in OPTIONS)


def test_presets_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--json"]) == 0
    presets = json.loads(capsys.readouterr().out)["presets"]
    assert presets["paper"]["--trainers"] == "7"
    assert presets["prototype"]["--max-staleness"] == "unbounded"
    assert list(presets["default"]) == [option.flag for option in OPTIONS]


def test_tasks_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    tasks = {task["name"]: task for task in json.loads(capsys.readouterr().out)["tasks"]}
    assert tasks["mnist"]["parameters"] == 608_338


def test_data_list_knows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("FLOBC_DATA_DIR", str(tmp_path))
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["directory"] == str(tmp_path)
    assert {item["name"]: item["present"] for item in listed["data_sets"]} == {"mnist": True, "fashion-mnist": False}


def test_data_split_writes_parties_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,label\n" + "".join(f"{number},{number % 3}\n" for number in range(30)))
    out = tmp_path / "shards"
    assert main(["data", "split", str(table), "--parties", "3", "--out", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert sum(party["examples"] for party in written["parties"]) == 30
    assert all((out / party["file"]).is_file() for party in written["parties"])


def test_places_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOBC_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert get_runs_directory() == tmp_path / ".local" / "share" / "flobc" / "runs"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert get_data_directory() == tmp_path / "share" / "flobc" / "data"


def test_runs_are_ordered_by_number_and_told_apart_by_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("digits-2", "digits-10", "digits-mlp-3", "digits-x", "digits-1.old-1"):
        (get_runs_directory() / name).mkdir(parents=True)
    assert [number for number, _ in list_runs("digits")] == [2, 10]
    assert make_slug("digits:mlp") == "digits-mlp"
    assert make_slug("::") == "run"


def test_the_readme_names_every_command() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    table = readme[readme.index("## Commands") :]
    rows = [row for row in table.splitlines() if row.startswith("| `flobc ")]
    for command in COMMANDS:
        *group, word = command.split()
        named = {f"`flobc {command}`", f"`{word}`"}
        start = " ".join(["| `flobc", *group]) if group else ""
        assert any(row.startswith(start) and any(name in row for name in named) for row in rows), command
