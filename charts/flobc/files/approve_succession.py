"""Approve a succession for one validator, on its own volume, and store the approval with its newest models.

A validator that cannot approve says why and does no harm: a quorum of the others is enough.
"""

from __future__ import annotations

import os
import sys
import urllib.error
from pathlib import Path

from cluster import Cluster

from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.automatic_succession import validate_automatic
from flobc.composition.succession import approve_plan, load_genesis_alone, load_plan_file
from flobc.errors import FlobcError, UsageError
from flobc.protocol.encoding import encode

MODELS = 3
"""The newest block's model may be with validators alone: a ledger may not have come to it before they stopped."""
MODEL_BYTES = 680_000
"""Together, so that a ConfigMap holds them beside the approval."""


def main() -> int:
    """Approve, and store that in the namespace that the environment names."""
    cluster, name = Cluster(os.environ["NAMESPACE"]), os.environ["APPROVAL"]
    try:
        if cluster.get("configmaps", name) is not None:
            print("it has approved already", flush=True)
            return 0
        entries = approve()
        if entries:
            cluster.create("configmaps", name, os.environ["INSTANCE"], entries)
    except urllib.error.URLError as error:
        print(f"Kubernetes did not answer ({error}); this Job tries again.", file=sys.stderr)
        return 1
    except FlobcError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def approve() -> dict[str, bytes]:
    """Return the approval and models beside it; nothing when this validator cannot approve.

    **Raises** UsageError when the plan is none to be approved unseen, DataError when a file is damaged.
    """
    data, chain = Path(os.environ.get("DATA", "/data")), Path(os.environ.get("CHAIN", "/chain"))
    folder = Path(os.environ.get("PLAN", "/plan"))
    parent, plan = load_genesis_alone((chain / "genesis").resolve()), load_plan_file((folder / "plan").resolve())
    signature = folder / "signature"
    validate_automatic(parent, plan, signature.read_bytes() if signature.exists() else b"")
    own = data / "genesis"
    if not own.exists() or own.read_bytes() != (chain / "genesis").read_bytes():
        print("Its volume is not of this chain, so nobody knows what it sealed: it does not approve.", flush=True)
        return {}
    identity = load_key_file(data / "keys" / f"validator-{os.environ['INDEX']}")
    try:
        approval = approve_plan(parent, plan, identity, data, never_sealed=False)
    except UsageError as error:
        print(f"It does not approve. {error}", flush=True)
        return {}
    height = 0 if approval.sealed is None else approval.sealed.height
    print(f"approved; its last seal is of block {height}", flush=True)
    return {"approval": encode(approval), **read_models(data / "models")}


def read_models(folder: Path) -> dict[str, bytes]:
    """Return the newest models of a validator, as many as there is room for."""
    found, room = {}, MODEL_BYTES
    newest = sorted(folder.glob("*.model"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest[:MODELS]:
        room -= path.stat().st_size
        if room >= 0:
            found[path.name] = path.read_bytes()
    return found


if __name__ == "__main__":
    sys.exit(main())
