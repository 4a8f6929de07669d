"""Make `.venv`, the environment that every make target runs in, from the lock files in requirements/.

Standard library only; system packages are never touched. `.venv/.ready` holds a digest of what was
installed and is written last: while it matches there is nothing to do, and whatever is there without it
(an interrupted or older set-up) is replaced. A complete environment is put back if its successor fails.

Usage: python3 tools/setup.py
"""

import os
import shutil
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - so that an older python3 says what is wrong
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        if shutil.which(name):
            os.execvp(name, [name, *sys.argv])
    raise SystemExit(
        f"FLoBC needs Python 3.11 or newer and found only {sys.version.split()[0]} ({sys.executable}): "
        "install a newer python3 (Debian, Ubuntu: sudo apt install python3 python3-venv) and try again."
    )

import ast
import contextlib
import hashlib
import importlib.util
import json
import re
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLD_VENV = ROOT / ".venv.old"
PYTHON = str(VENV / "bin" / "python")
READY = ".ready"
UV_LOCK, MAIN_LOCK, TORCH_LOCK = (f"requirements/{name}.txt" for name in ("uv", "lock", "torch"))
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_PATIENCE_S = 4
ORDINARY_TORCH_BYTES = 7 * 10**9  # with its GPU libraries 5.1 GB on Linux, and room to unpack them
# uv does not read pip's settings, so the person's mirror, certificates and local wheels are handed on
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


class StepError(Exception):
    """A command of the set-up failed; the message is the end of what it printed."""


def compute_digest() -> str:
    """Digest of everything that decides what the environment holds."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    inputs = json.dumps([sys.version, str(ROOT), settings["project"], settings["build-system"]])
    locks = [(ROOT / lock).read_bytes() for lock in (UV_LOCK, MAIN_LOCK, TORCH_LOCK)]
    return hashlib.sha256(b"\n".join([inputs.encode(), *locks])).hexdigest()


def is_ready(digest: str) -> bool:
    """Whether `.venv` was completed from these very inputs and its Python still starts."""
    try:
        complete = (VENV / READY).read_text() == digest
        return complete and subprocess.run([PYTHON, "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def run_step(label: str, *command: str, environment: dict[str, str] | None = None) -> None:
    """Run one command in the project folder, showing its label and how long it takes."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as process:
            while process.poll() is None:
                if sys.stdout.isatty():
                    print(f"  {label} ... {time.monotonic() - started:.0f} s", end="\r", flush=True)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        if process.returncode:
            print(f"  {label}: failed after {time.monotonic() - started:.1f} s")
            output.seek(0)
            raise StepError("\n".join(output.read().strip().splitlines()[-12:]))
    print(f"  {label}: {time.monotonic() - started:.1f} s     ", flush=True)


def read_pip_settings() -> dict[str, str]:
    """The person's own pip settings (mirror, certificates, local wheels), by option name."""
    command = [PYTHON, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pairs = [line.partition("=") for line in listed.splitlines() if "=" in line]
    return {key.rpartition(".")[2]: ast.literal_eval(value) for key, _, value in pairs}


class Installer:
    """Installs into `.venv`: with uv where it can be had and succeeds, else with pip."""

    def __init__(self) -> None:
        pip_settings = read_pip_settings()
        handed_on = {PIP_TO_UV[key]: value for key, value in pip_settings.items() if key in PIP_TO_UV}
        self.uv_environment = handed_on | dict(os.environ)
        self.wheel_folders = self.uv_environment.get("UV_FIND_LINKS", "").replace(",", " ").split()
        try:
            self.has_uv = False
            self.install("fetching the installer uv", "--require-hashes", "-r", UV_LOCK)
            self.has_uv = True
        except StepError:
            print("  uv cannot be had here, so pip does the work (slower)")

    def install(self, label: str, *arguments: str) -> None:
        """Install exactly what the arguments name, without looking for further dependencies."""
        arguments = ("install", "--no-deps", *arguments)
        if self.has_uv:
            # Python writes bytecode as it goes, unless it is told not to: then every process would compile everything.
            compiled = ("--compile-bytecode",) if os.environ.get("PYTHONDONTWRITEBYTECODE") else ()
            command = (PYTHON, "-m", "uv", "pip", *arguments, *compiled, "--python", PYTHON)
            try:
                return run_step(f"{label} with uv", *command, environment=self.uv_environment)
            except StepError as error:
                print(f"  uv could not do it, so pip tries; uv said:\n{error}")
        return run_step(f"{label} with pip", PYTHON, "-m", "pip", *arguments)

    def install_torch(self) -> None:
        """Install torch: a CPU wheel where one is at hand, else the ordinary one and its GPU libraries."""
        version = re.findall(r"(?m)^torch==(\S+)", (ROOT / TORCH_LOCK).read_text())[0]
        label = f"installing torch {version}"
        source = find_cpu_wheel(version, self.wheel_folders)
        if source:
            try:
                return self.install(f"{label} (CPU wheel)", f"torch=={version}+cpu", *source)
            except StepError as error:
                print(f"  no CPU wheel to be had, so the ordinary one is taken:\n{error}")
        if sys.platform == "linux" and shutil.disk_usage(ROOT).free < ORDINARY_TORCH_BYTES:
            raise StepError(f"torch's ordinary wheel needs 7 GB of free disk at {ROOT}, and there is less.")
        return self.install(f"{label} (ordinary wheel)", "--require-hashes", "-r", TORCH_LOCK)


def find_cpu_wheel(version: str, folders: list[str]) -> list[str]:
    """Where torch's CPU wheel can be had quickly, as installer options; empty where nowhere."""
    wheel = f"torch-{version}+cpu-cp{sys.version_info.major}{sys.version_info.minor}-*.whl"
    for folder in folders:
        if list(Path(folder).glob(wheel)):
            return ["--no-index", "--find-links", folder]
    if sys.platform != "linux":
        return []  # the ordinary wheel is a CPU wheel there
    # a process of its own asks, because looking up a name cannot be given a time limit
    probe = [sys.executable, "-c", f"import urllib.request as u; u.urlopen('{TORCH_CPU_INDEX}/torch/')"]
    try:
        subprocess.run(probe, check=True, capture_output=True, timeout=TORCH_PATIENCE_S)
    except subprocess.SubprocessError:
        return []
    return ["--index-url", TORCH_CPU_INDEX]


def build() -> None:
    """Fill a new `.venv`: every step from the lock files, the last one proves that it works."""
    run_step("making the virtual environment", sys.executable, "-m", "venv", str(VENV))
    installer = Installer()
    installer.install("installing the locked packages", "--require-hashes", "-r", MAIN_LOCK)
    installer.install_torch()
    installer.install("installing flobc itself", "--no-build-isolation", "--editable", ".")
    run_step("checking that everything imports", PYTHON, "-c", "import flobc, numba, sklearn, torch")


def replace(digest: str) -> None:
    """Build a new environment; a complete older one is kept aside until the new one is there."""
    if (VENV / READY).exists():
        shutil.rmtree(OLD_VENV, ignore_errors=True)
        VENV.rename(OLD_VENV)
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        build()
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        if OLD_VENV.exists():
            OLD_VENV.rename(VENV)
        raise
    (VENV / READY).write_text(digest)
    shutil.rmtree(OLD_VENV, ignore_errors=True)


def print_missing_servers() -> None:
    """Say what to install for the tests that need real servers; nothing is installed for them."""
    if not any(map(shutil.which, ("redis-server", "valkey-server"))) and not os.environ.get("FLOBC_TEST_REDIS"):
        print(
            "  no redis-server here, so tests with a real Redis may be skipped; to have one "
            "(Debian, Ubuntu): sudo apt install redis-server"
        )


def main() -> None:
    """Set up unless it is done already."""
    if not importlib.util.find_spec("ensurepip") or not importlib.util.find_spec("venv"):
        raise SystemExit(
            f"FLoBC keeps its packages in a virtual environment, and {sys.executable} lacks the modules that "
            "make one: install them (Debian, Ubuntu: sudo apt install python3-venv) and try again."
        )
    digest = compute_digest()
    if is_ready(digest):
        os.utime(VENV / READY)  # make compares times; what counts is the content
        print("FLoBC is set up in .venv")
        print_missing_servers()
        return
    started = time.monotonic()
    print(f"Setting up FLoBC in .venv, once; Python {sys.version.split()[0]}, system packages stay as they are")
    try:
        replace(digest)
    except StepError as error:
        raise SystemExit(f"The set-up stopped:\n{error}\nRun it again once that is mended.") from None
    except KeyboardInterrupt:
        raise SystemExit("\nThe set-up was interrupted; the next run starts it anew.") from None
    print(f"FLoBC is set up in .venv: {time.monotonic() - started:.0f} s")
    print_missing_servers()


if __name__ == "__main__":
    main()
