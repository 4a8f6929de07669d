"""Begin a succession: store new validators' keys and the plan, and stop the validators so that they can approve it.

Every step may be repeated, and what is stored is used again. The environment names the objects; with OPERATOR_KEY the
operator signs the plan, which validators that approve it unseen ask for.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.error
from pathlib import Path

from cluster import Cluster

from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.composition.archive.ledger import LedgerArchive
from flobc.composition.automatic_succession import build_automatic_plan, sign_plan
from flobc.composition.services.connections import build_tls
from flobc.composition.services.settings import LedgerSettings, load_settings, split_addresses
from flobc.composition.succession import load_genesis_alone
from flobc.errors import FlobcError, TransientError
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis

VALIDATORS = "flobc/validators"
WAIT_S = 240
MAX_OBJECT_BYTES = 1_000_000
MORE_BYTES = 60_000
"""Room for what a successor's genesis holds besides: the old chain's registry, a certificate and approvals."""
POLL_S = 1


class RefusedError(Exception):
    """What somebody has to change, in one sentence."""


def main() -> int:
    """Begin in the namespace that the environment names."""
    cluster = Cluster(os.environ["NAMESPACE"])
    try:
        if cluster.get("configmaps", os.environ["NEXT"]) is not None:
            print("the successor is there already", flush=True)
            return 0
        require_blocks()
        store_plan(cluster)
        stop_validators(cluster)
    except urllib.error.URLError as error:
        print(f"Kubernetes did not answer ({error}); this Job tries again.", file=sys.stderr)
        return 1
    except TransientError as error:
        print(error, file=sys.stderr)
        return 1
    except (RefusedError, FlobcError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def require_blocks() -> None:
    """Check that the chain has a certified block: by then a quorum has sealed, and who never sealed cannot approve.

    **Raises** RefusedError, before anything is changed; FlobcError.
    """
    settings = load_settings(LedgerSettings)
    archive = LedgerArchive(split_addresses(os.environ["LEDGERS"]), build_tls(settings))
    archive.close()
    if not archive.height:
        raise RefusedError("The chain has no block yet, so no validator can approve a successor; wait for one.")


def store_plan(cluster: Cluster) -> None:
    """Store keys and plan unless they are there. **Raises** RefusedError, FlobcError."""
    count, name = int(os.environ["VALIDATORS"]), os.environ["PLAN"]
    found = cluster.get("configmaps", name)
    if found is not None:
        require_same(name, found.annotations.get(VALIDATORS), count)
        return
    with tempfile.TemporaryDirectory() as folder:
        parent = load_parent(cluster, Path(folder))
        keys = take_keys(cluster, Path(folder), count)
        plan = build_automatic_plan(parent, keys)
        entries = {"plan": encode(plan)}
        if "OPERATOR_KEY" in os.environ:
            path = Path(folder) / "operator"
            write_private(path, take(cluster, "secrets", os.environ["OPERATOR_KEY"])["operator"])
            entries["signature"] = sign_plan(plan, load_key_file(path))
    cluster.create("configmaps", name, os.environ["INSTANCE"], entries, {VALIDATORS: str(count)})


def require_same(name: str, before: str | None, count: int) -> None:
    """**Raises** RefusedError when another plan is there: a validator approves one plan for ever."""
    if before != str(count):
        raise RefusedError(
            f"A succession to {before} validators was begun (ConfigMap {name}) and cannot be taken back; set "
            f"validators.replicas to {before}, upgrade, and then to {count}."
        )


def load_parent(cluster: Cluster, folder: Path) -> Genesis:
    """Return the genesis of the chain that ends. **Raises** RefusedError, DataError."""
    path, entries = folder / "genesis", take(cluster, "configmaps", os.environ["CHAIN"])
    size = (sum(map(len, entries.values())) + MORE_BYTES) * 4 // 3
    if size > MAX_OBJECT_BYTES:
        raise RefusedError(
            f"The successor's genesis and first model may take {size} bytes, and a ConfigMap holds {MAX_OBJECT_BYTES}; "
            "such a chain is succeeded by hand (docs/succession.md)."
        )
    path.write_bytes(entries["genesis"])
    return load_genesis_alone(path)


def take(cluster: Cluster, kind: str, name: str) -> dict[str, bytes]:
    """Return what an object holds. **Raises** RefusedError when there is no such object."""
    found = cluster.get(kind, name)
    if found is None:
        raise RefusedError(f"There is no {name} among the {kind}, and no succession without it; restore it.")
    return found.entries


def take_keys(cluster: Cluster, folder: Path, count: int) -> list[bytes]:
    """Return the public keys of the successor's validators, and store their keys unless they are stored.

    Those that stay keep their key. **Raises** RefusedError when a Secret that somebody else keeps lacks one.
    """
    before, name = os.environ["KEYS"], os.environ["NEXT_KEYS"]
    stored = cluster.get("secrets", name)
    keys = take(cluster, "secrets", before) if stored is None else stored.entries
    nodes = [f"validator-{index}" for index in range(count)]
    missing = [node for node in nodes if node not in keys]
    if missing and stored is not None:
        raise RefusedError(
            f"The Secret {name} lacks {', '.join(missing)}; add what `flobc keys new` writes under that name."
        )
    for node in nodes:
        path = folder / node
        if node in missing:
            create_key_file(path)
        else:
            write_private(path, keys[node])
    if stored is None:
        entries = {node: (folder / node).read_bytes() for node in nodes}
        cluster.create("secrets", name, os.environ["INSTANCE"], entries)
    return [load_key_file(folder / node).public_key for node in nodes]


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read."""
    path.touch(0o600)
    path.write_bytes(content)


def stop_validators(cluster: Cluster) -> None:
    """Return when no validator's pod is left: Helm makes the StatefulSet anew, for the successor.

    Scaled down it would stay, but from then on its count would be this Job's, and Helm 4 would refuse to set it.
    """
    print("validators stop", flush=True)
    cluster.delete_set(os.environ["STATEFUL_SET"])
    until_s = time.monotonic() + WAIT_S
    while cluster.count_pods(os.environ["SELECTOR"]):
        if time.monotonic() > until_s:
            raise RefusedError(
                "Validators' pods do not end; see what keeps them with kubectl describe, and upgrade again."
            )
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())
