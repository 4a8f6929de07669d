"""Check what no linter knows: words that must not stand in the project, and sizes that are too many.

Words: package-registry hosts (everybody has a mirror of their own) and absolute paths of one machine.
Sizes: modules of more than 400 lines and functions of more than 60 lines in flobc/ and tools/.

Usage: python tools/check_text.py
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
SIZED_FOLDERS = ("flobc", "tools")
GENERATED = Path("flobc/adapters/grpc/generated")
# put together from parts, or this file would be its own first finding
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("npmjs", "com"),
        ("registry", "yarnpkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("deb", "debian", "org"),
    )
]
MACHINE_FOLDERS = ["root", "home", "work", "Users"]
FORBIDDEN = re.compile(
    "|".join(
        [rf"(?<![\w-]){re.escape(host)}(?!\w)" for host in REGISTRY_HOSTS]
        + [rf"(?<![\w.)}}/-])/(?:{'|'.join(MACHINE_FOLDERS)})/"]
    )
)


def list_files() -> list[Path]:
    """Every file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in sorted(set(listed.split("\0"))) if name and (path := ROOT / name).is_file()]


def find_words(text: str) -> Iterator[tuple[int, str]]:
    """Line and description of each forbidden word."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in FORBIDDEN.finditer(line):
            yield number, f"'{match.group()}' names a registry host or one machine's folder; leave it out"


def find_sizes(text: str) -> Iterator[tuple[int, str]]:
    """Line and description of each module or function that is too long."""
    lines = len(text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield 1, f"the module has {lines} lines, {MAX_MODULE_LINES} at most; split it by what it knows"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield (
                    node.lineno,
                    f"{node.name} has {length} lines, {MAX_FUNCTION_LINES} at most; name its parts",
                )


def check_file(path: Path) -> list[str]:
    """Findings of one file, each as `path:line: what`; a binary file has none."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    name = path.relative_to(ROOT)
    findings = list(find_words(text))
    if path.suffix == ".py" and name.parts[0] in SIZED_FOLDERS and GENERATED not in name.parents:
        findings += find_sizes(text)
    return [f"{name}:{line}: {what}" for line, what in findings]


def main() -> int:
    """Print the findings; 1 if there are any."""
    files = list_files()
    findings = [finding for path in files for finding in check_file(path)]
    print("\n".join(findings) or f"{len(files)} files hold no forbidden word and no oversize module or function")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
