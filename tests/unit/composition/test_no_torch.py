"""The ledger's image carries no torch, and the validator's process that talks to others does not load it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from services.{role}.main import main
import flobc.composition.services.{role}
sys.argv = ["flobc-{role}", "--help"]
sys.exit(main())
"""


@pytest.mark.parametrize("role", ["ledger", "validator", "explorer"])
def test_it_starts_without_torch(role: str) -> None:
    """``None`` in ``sys.modules`` makes an import fail as if the package were not installed."""
    # models are downloaded as safetensors
    missing = ("torch", "sklearn", "scipy", "rich", *(() if role == "explorer" else ("safetensors",)))
    program = [sys.executable, "-c", WITHOUT.format(role=role, missing=missing)]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "FLOBC_GENESIS" in run.stdout


@pytest.mark.parametrize("role", ["trainer", "validator", "ledger", "explorer"])
def test_each_console_script_names_a_function_that_is_there(role: str) -> None:
    scripts = (ROOT / "pyproject.toml").read_text()
    assert f'flobc-{role} = "services.{role}.main:main"' in scripts
    program = [sys.executable, "-m", f"services.{role}.main", "--help"]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"usage: flobc-{role}")
    told = set(re.findall(r"FLOBC_\w+", run.stdout))
    table = re.findall(r"^\| `(FLOBC_\w+)` \|", (ROOT / "services" / role / "README.md").read_text(), re.MULTILINE)
    assert set(table) == told, "README.md and --help name other settings"


def test_a_ledger_s_image_verifies_chains_that_ledgers_serve() -> None:
    """``helm test`` does it there."""
    missing = ("torch", "sklearn", "scipy", "rich", "safetensors")
    lines = WITHOUT.split("from services", maxsplit=1)[0].format(missing=missing)
    lines += "import flobc.cli.status, flobc.cli.verify, flobc.composition.archive.ledger"
    run = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
