"""Make a chain's genesis and keys and store them in Kubernetes, once; arguments are those of ``flobc genesis new``.

Every step may be repeated: keys that are stored already are used again, and the ConfigMap with the genesis, which all
pods wait for, comes last. The environment names the objects; with OPERATOR_KEY the chain admits by invitation, and an
invitation is stored too. Where SUCCESSOR is there, a successor of the chain that this revision of the release is for,
there is no way back to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path

from cluster import Cluster

MAX_OBJECT_BYTES = 1_000_000
ROLES = ("trainer", "validator")
OPTIONS = "flobc/options"
VALIDATORS = "flobc/validators"


class RefusedError(Exception):
    """What somebody has to change, in one sentence."""


def main() -> int:
    """Publish to the namespace that the environment names."""
    cluster = Cluster(os.environ["NAMESPACE"])
    try:
        publish(cluster, os.environ["CHAIN"], sys.argv[1:])
    except urllib.error.URLError as error:
        print(f"Kubernetes did not take the chain ({error}); this Job tries again.", file=sys.stderr)
        return 1
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode  # the command has said why
    return 0


def publish(cluster: Cluster, chain: str, options: list[str]) -> None:
    """Store what is not there yet."""
    successor = os.environ["SUCCESSOR"]
    if cluster.get("configmaps", successor) is not None:
        raise RefusedError(
            f"The chain that this revision of the release is for ended, and its successor is in ConfigMap {successor}; "
            "nothing leads back and nothing was changed, so let Helm forget it by helm rollback to the newest revision "
            "that was deployed, and go on with helm upgrade."
        )
    found = cluster.get("configmaps", chain)
    if found is not None:
        require_same(chain, found.annotations.get(OPTIONS), options)
        print("the chain is there already", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        root, operator = Path(folder) / "chain", Path(folder) / "operator"
        stored = {role: take_keys(cluster, root, role) for role in ROLES}
        for role in ROLES:
            require_keys(role, stored[role], int(options[options.index(f"--{role}s") + 1]))
        invites = "OPERATOR_KEY" in os.environ
        if invites:
            options = [*options, "--operator", take_operator(cluster, operator)]
        run("genesis", "new", "--quiet", "--dir", str(root), *options)
        files = [root / "genesis", *sorted((root / "initial").glob("*.model"))]
        require_room(files)
        for role in ROLES:
            if stored[role] is None:
                name = os.environ[f"{role.upper()}_KEYS"]
                cluster.create("secrets", name, os.environ["INSTANCE"], collect_keys(root, role))
        if invites:
            keep_invitation(cluster, root, operator, Path(folder) / "invitation")
        annotations = {OPTIONS: " ".join(sys.argv[1:]), VALIDATORS: str(len(collect_keys(root, "validator")))}
        entries = {path.name: path.read_bytes() for path in files}
        cluster.create("configmaps", chain, os.environ["INSTANCE"], entries, annotations)


def run(*arguments: str) -> str:
    """Run a command of ``flobc`` and return what it printed. **Raises** CalledProcessError."""
    command = [sys.executable, "-m", "flobc.cli.main", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def require_same(chain: str, before: str | None, options: list[str]) -> None:
    """**Raises** RefusedError when the release is to have another chain than the one that is there."""
    now = options
    if "SUCCEEDED" in os.environ:  # by then its validators may be others
        now = [*options[: options.index("--validators") + 1], *options[options.index("--validators") + 2 :]]
        before = None if before is None else re.sub(r"--validators \d+", "--validators", before)
    if before is not None and before != " ".join(now):
        raise RefusedError(
            f"The chain in ConfigMap {chain} began with '{before}' and a chain never changes, but the values say "
            f"'{' '.join(now)}'; set them back, or install another release for another chain."
        )


def require_room(files: list[Path]) -> None:
    """**Raises** RefusedError when a ConfigMap cannot hold the files."""
    size = sum(path.stat().st_size for path in files) * 4 // 3
    if size > MAX_OBJECT_BYTES:
        raise RefusedError(
            f"The first model and genesis take {size} bytes, and a ConfigMap holds {MAX_OBJECT_BYTES}; choose a "
            "smaller model."
        )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(content)


def take_keys(cluster: Cluster, root: Path, role: str) -> dict[str, bytes] | None:
    """Lay a role's stored keys where ``flobc genesis new`` looks for them; return them, or None where none are."""
    found = cluster.get("secrets", os.environ[f"{role.upper()}_KEYS"])
    if found is None:
        return None
    for node, key in found.entries.items():
        write_private(root / "nodes" / node / "key", key)
    return found.entries


def take_operator(cluster: Cluster, path: Path) -> str:
    """Write the operator's key to ``path``, a new one unless one is stored, and return its public half."""
    name = os.environ["OPERATOR_KEY"]
    found = cluster.get("secrets", name)
    if found is not None:
        write_private(path, found.entries["operator"])
        return run("keys", "show", "--quiet", str(path))
    public = run("keys", "new", "--quiet", str(path))
    cluster.create("secrets", name, os.environ["INSTANCE"], {"operator": path.read_bytes()})
    return public


def collect_keys(root: Path, role: str) -> dict[str, bytes]:
    """Return the keys of a role's nodes."""
    return {path.parent.name: path.read_bytes() for path in sorted((root / "nodes").glob(f"{role}-*/key"))}


def require_keys(role: str, stored: dict[str, bytes] | None, count: int) -> None:
    """**Raises** RefusedError when a role's Secret is there and lacks one of the first keys."""
    missing = [f"{role}-{index}" for index in range(count) if stored is not None and f"{role}-{index}" not in stored]
    if missing:
        name = os.environ[f"{role.upper()}_KEYS"]
        raise RefusedError(
            f"The Secret {name} lacks {', '.join(missing)}; add what `flobc keys new` writes under that name."
        )


def keep_invitation(cluster: Cluster, root: Path, operator: Path, path: Path) -> None:
    """Sign an invitation and store it, unless one is stored."""
    name = os.environ["INVITATION"]
    if cluster.get("secrets", name) is not None:
        return
    limits = ("--max-joins", os.environ["MAX_JOINS"], "--until-height", os.environ["UNTIL_HEIGHT"])
    run("invite", "--quiet", "--genesis", str(root), "--key", str(operator), *limits, "--out", str(path))
    cluster.create("secrets", name, os.environ["INSTANCE"], {"invitation": path.read_bytes()})


if __name__ == "__main__":
    sys.exit(main())
