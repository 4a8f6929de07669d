"""Generate the gRPC code from proto/, or check that what is committed is what would be generated.

protoc writes imports by the .proto file's path (`from flobc.v1 import ...`), which is another package
than the one the files lie in; they are made relative. Needs only grpcio-tools, no network.

Usage: python tools/generate_proto.py [--check]
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
TARGET = ROOT / "flobc" / "adapters" / "grpc" / "generated"
PACKAGE_IMPORT = re.compile(r"^from flobc\.v1 import ", re.MULTILINE)
HEADING = '"""Generated from proto/ by `make proto`; not to be edited."""\n'


def generate() -> dict[str, str]:
    """Return the generated files' texts by name. **Raises** CalledProcessError when protoc refuses."""
    with tempfile.TemporaryDirectory() as folder:
        protos = [str(path.relative_to(SOURCES)) for path in sorted(SOURCES.rglob("*.proto"))]
        kinds = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *kinds, *protos], cwd=SOURCES, check=True)
        files = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).rglob("*_pb2*.py*")}
    services = [path for path in SOURCES.rglob("*.proto") if "\nservice " in path.read_text(encoding="utf-8")]
    wanted = {f"{path.stem}_pb2_grpc.py" for path in services}
    kept = {name: text for name, text in files.items() if "_grpc" not in name or name in wanted}
    return {"__init__.py": HEADING} | {name: PACKAGE_IMPORT.sub("from . import ", text) for name, text in kept.items()}


def read_committed() -> dict[str, str]:
    """Return the texts of the generated files that are there."""
    return {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py*")}


def main(arguments: list[str]) -> int:
    """Write the files, or compare; 1 when they differ."""
    fresh, found = generate(), read_committed()
    if "--check" in arguments:
        different = sorted(name for name in fresh.keys() | found.keys() if fresh.get(name) != found.get(name))
        if different:
            print(f"{', '.join(different)} in {TARGET.relative_to(ROOT)} is not what proto/ says; run `make proto`.")
        return 1 if different else 0
    for name in found.keys() - fresh.keys():
        (TARGET / name).unlink()
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in fresh.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
