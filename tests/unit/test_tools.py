"""The tools in tools/ find what they are there to find."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_text = load_tool("check_text")
lock = load_tool("lock")
setup = load_tool("setup")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the inputs that set-up reads, in place of the real one."""
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/uv.txt", "requirements/lock.txt", "requirements/torch.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup, "OLD_VENV", tmp_path / ".venv.old")
    monkeypatch.setattr(setup, "PYTHON", sys.executable)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "see https://" + "py" + "pi.org/simple",
        "files." + "pythonhosted.org",
        "cd /" + "work/x",
        "'/" + "root/.cache'",
    ],
)
def test_forbidden_words_are_found(words: str) -> None:
    """A registry's host or one machine's folder is reported with its line."""
    assert [line for line, _ in check_text.find_words(f"fine\n{words}\n")] == [2]


@pytest.mark.parametrize("words", ["src/" + "work/load", "a homework/root/leaf of the tree", "crates in a row"])
def test_ordinary_words_are_not_found(words: str) -> None:
    """Only absolute folders and whole host names count."""
    assert list(check_text.find_words(words)) == []


def test_sizes_are_found_beyond_their_limit_only() -> None:
    """60 lines of function and 400 of module pass, one more of each is reported."""

    def function(lines: int) -> str:
        return "def f():\n" + "    pass\n" * (lines - 1)

    assert list(check_text.find_sizes(function(60))) == []
    assert [line for line, _ in check_text.find_sizes("\n" + function(61))] == [2]
    assert list(check_text.find_sizes("x = 1\n" * 400)) == []
    assert [line for line, _ in check_text.find_sizes("x = 1\n" * 401)] == [1]


def test_resolution_is_cut_by_what_needs_it() -> None:
    """Hashes follow their requirement, and nothing is lost or doubled."""
    numpy, cublas, torch, uv = (
        f"{name}==1 \\\n    --hash=sha256:00\n" for name in ("numpy", "nvidia-cublas", "torch", "uv")
    )
    texts = {name: text.removeprefix(lock.HEADER) for name, text in lock.split(numpy + cublas + torch + uv).items()}
    assert texts == {"lock.txt": numpy, "uv.txt": uv, "torch.txt": cublas + torch}


def test_every_locked_package_has_hashes_and_no_address() -> None:
    """Installing needs hashes of all; a lock file names no host, so any mirror serves it."""
    for name in lock.FILES:
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        packages = text.split("\n", 1)[1].replace("\\\n", "").splitlines()
        assert packages
        assert all("--hash=sha256:" in package for package in packages)


def test_setup_is_done_only_for_the_very_inputs(project: Path) -> None:
    """A finished environment counts until a lock file or the dependencies change; a half-made one never."""
    digest = setup.compute_digest()
    (project / ".venv").mkdir()
    assert not setup.is_ready(digest)
    (project / ".venv" / ".ready").write_text(digest)
    assert setup.is_ready(setup.compute_digest())
    with (project / "requirements" / "lock.txt").open("a") as file:
        file.write("# changed\n")
    assert not setup.is_ready(setup.compute_digest())


def test_failed_setup_puts_the_working_environment_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stops the building, the complete environment that was there is there again."""
    (project / ".venv").mkdir()
    (project / ".venv" / ".ready").write_text("older")

    def build() -> None:
        (project / ".venv").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "build", build)
    with pytest.raises(KeyboardInterrupt):
        setup.replace("newer")
    assert (project / ".venv" / ".ready").read_text() == "older"
    assert not (project / ".venv.old").exists()


def test_failed_step_shows_what_the_command_said(project: Path) -> None:
    """The end of a failed command's output is the message."""
    with pytest.raises(setup.StepError, match="no such mirror"):
        setup.run_step("asking", sys.executable, "-c", "raise SystemExit('no such mirror')")


def test_cpu_wheel_in_a_local_folder_is_preferred(tmp_path: Path) -> None:
    """A wheel of this Python and torch version in a find-links folder is taken without asking anybody."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (tmp_path / f"torch-1.2.3+cpu-{tag}-{tag}-manylinux_2_28_x86_64.whl").touch()
    assert setup.find_cpu_wheel("1.2.3", [str(tmp_path)]) == ["--no-index", "--find-links", str(tmp_path)]


def test_make_help_lists_every_target() -> None:
    """`make` alone says what can be made."""
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "demo", "run", "test", "check", "bench", "proto"):
        assert f"make {target} " in listed


def test_missing_venv_module_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without venv ends in one sentence that names the package to install."""
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        setup.main()


@pytest.mark.parametrize("program", ["redis-server", "valkey-server", None])
def test_setup_says_what_to_install_for_tests_with_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str | None
) -> None:
    """One line with the command when there is no server; silence when there is one."""
    monkeypatch.delenv("FLOBC_TEST_REDIS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if program:
        (tmp_path / program).touch(mode=0o755)
    setup.print_missing_servers()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (program is None)
    assert all("sudo apt install redis-server" in line for line in lines)
