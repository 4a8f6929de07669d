"""Resolve the dependencies in pyproject.toml and write the lock files in requirements/.

One resolution for every supported platform and Python, with hashes, cut into three files
because `tools/setup.py` needs them one after another, and what the services' images need of it:

    uv.txt      the installer, fetched by pip
    torch.txt   torch's ordinary wheel and the GPU libraries that only this wheel needs
    lock.txt    everything else, torch's own plain-Python dependencies included
    learner.txt lock.txt without tools, but with what sends spans: for the images of trainers and validators
    ledger.txt  what `requirements/ledger.in` names and needs: no torch
    explorer.txt likewise of `requirements/explorer.in`

Usage: python tools/lock.py [--upgrade]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
FILES = ("uv.txt", "lock.txt", "torch.txt")
ONLY_FOR_TORCH = ("torch", "triton", "nvidia-", "cuda-")
HEADER = "# Written by `make lock` from pyproject.toml; do not edit by hand.\n"


def resolve(previous: str, upgrade: bool) -> str:
    """Resolve afresh, keeping the versions in `previous` where they still fit unless `upgrade`."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "all.txt"
        output.write_text(previous)
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--all-extras"]
        command += ["--upgrade"] if upgrade else []
        subprocess.run([*command, "--output-file", output, ROOT / "pyproject.toml"], check=True)
        return output.read_text()


def resolve_part(resolution: str, source: Path, *extras: str) -> str:
    """Resolve what `source` asks for to the same versions; torch's own lines are left out."""
    with tempfile.TemporaryDirectory() as directory:
        whole, output = Path(directory) / "all.txt", Path(directory) / "part.txt"
        whole.write_text(resolution)
        output.write_text(resolution)
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--constraint", str(whole)]
        command += [f"--extra={extra}" for extra in extras]
        subprocess.run([*command, "--output-file", output, source], check=True)
        return split(output.read_text())["lock.txt"]


def file_for(requirement: str) -> str:
    """Name of the lock file that one requirement line belongs to."""
    name = requirement.partition("==")[0]
    if name == "uv":
        return "uv.txt"
    return "torch.txt" if name.startswith(ONLY_FOR_TORCH) else "lock.txt"


def split(resolution: str) -> dict[str, str]:
    """Cut a resolution into the lock files' texts; a requirement's hashes are the indented lines after it."""
    texts = dict.fromkeys(FILES, HEADER)
    target = "lock.txt"
    for line in resolution.splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            target = file_for(line)
        texts[target] += line
    return texts


def main(arguments: list[str]) -> None:
    """Rewrite the lock files in place."""
    previous = "".join((REQUIREMENTS / name).read_text() for name in FILES if (REQUIREMENTS / name).exists())
    REQUIREMENTS.mkdir(exist_ok=True)
    resolution = resolve(previous, "--upgrade" in arguments)
    texts = split(resolution)
    texts["learner.txt"] = resolve_part(resolution, ROOT / "pyproject.toml", "tracing")
    for part in ("ledger", "explorer"):
        texts[f"{part}.txt"] = resolve_part(resolution, REQUIREMENTS / f"{part}.in")
    for name, text in texts.items():
        (REQUIREMENTS / name).write_text(text)
        print(f"{name}: {sum(line[0] not in '# ' for line in text.splitlines())} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
