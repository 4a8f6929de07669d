"""Complete a succession: verify the chain that ends, assemble its successor from the approvals, and store it.

The environment names the objects, and what a ledger's settings name, for the log is read from Kafka as a ledger reads
it. The ConfigMap with the successor, which all pods wait for, comes last.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path

from cluster import Cluster, Stored

from flobc.composition.archive.served import ServedArchive
from flobc.composition.organisations.invitations import load_invitation
from flobc.composition.services.connections import build_kafka, build_tls
from flobc.composition.services.settings import LedgerSettings, load_settings, split_addresses
from flobc.composition.succession import assemble_successor, load_approve_file, load_genesis_alone, load_plan_file
from flobc.composition.verification import verify_chain
from flobc.errors import DataError, FlobcError, TransientError, UsageError
from flobc.protocol.params import Genesis, get_chain_id

MAX_OBJECT_BYTES = 1_000_000
VALIDATORS = "flobc/validators"


def main() -> int:
    """Complete it in the namespace that the environment names."""
    cluster = Cluster(os.environ["NAMESPACE"])
    try:
        if cluster.get("configmaps", os.environ["NEXT"]) is not None:
            print("the successor is there already", flush=True)
            return 0
        with tempfile.TemporaryDirectory() as folder:
            complete(cluster, Path(folder))
    except urllib.error.URLError as error:
        print(f"Kubernetes did not answer ({error}); this Job tries again.", file=sys.stderr)
        return 1
    except (TransientError, DataError) as error:  # a ledger may have to catch up
        print(error, file=sys.stderr)
        return 1
    except FlobcError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode  # the command has said why
    return 0


def complete(cluster: Cluster, folder: Path) -> None:
    """Verify, assemble and store. **Raises** FlobcError."""
    chain, plan = take(cluster, os.environ["CHAIN"]), take(cluster, os.environ["PLAN"])
    (folder / "genesis").write_bytes(chain.entries["genesis"])
    (folder / "plan").write_bytes(plan.entries["plan"])
    approvals = collect_approvals(cluster, folder)
    settings = load_settings(LedgerSettings)
    archive = ServedArchive(
        split_addresses(os.environ["LEDGERS"]),
        build_tls(settings),
        build_kafka(settings, "succession"),
        folder / "models",
    )
    try:
        if get_chain_id(archive.genesis) != get_chain_id(load_genesis_alone(folder / "genesis")):
            raise DataError(f"The ledgers at {archive.name} serve another chain; wait until they follow this one.")
        report = verify_chain(archive, full=False)
        print(f"the chain that ends holds up to block {report.height}", flush=True)
        genesis = assemble_successor(
            archive, load_plan_file(folder / "plan"), map(load_approve_file, approvals), folder / "next"
        )
    finally:
        archive.close()
    start = 0 if genesis.parent is None else genesis.parent.header.height
    print(f"its successor {get_chain_id(genesis).hex()} starts from block {start}", flush=True)
    if "OPERATOR_KEY" in os.environ:
        keep_invitation(cluster, folder, genesis)
    entries = collect_entries(chain, folder)
    annotations = {VALIDATORS: str(len(genesis.validators))}
    cluster.create("configmaps", os.environ["NEXT"], os.environ["INSTANCE"], entries, annotations)


def take(cluster: Cluster, name: str) -> Stored:
    """Return a ConfigMap. **Raises** UsageError when there is none."""
    found = cluster.get("configmaps", name)
    if found is None:
        raise UsageError(f"There is no ConfigMap {name}, and no succession without it; restore it and upgrade again.")
    return found


def collect_approvals(cluster: Cluster, folder: Path) -> list[Path]:
    """Return the files of all approvals that are stored, and lay the models that came with them into a folder."""
    (folder / "models").mkdir()
    found = []
    for name in os.environ["APPROVALS"].split(","):
        stored = cluster.get("configmaps", name)
        if stored is None:
            print(f"there is no {name}", flush=True)
            continue
        found.append(folder / name)
        found[-1].write_bytes(stored.entries["approval"])
        for model, content in stored.entries.items():
            if model.endswith(".model"):
                (folder / "models" / model).write_bytes(content)
    return found


def collect_entries(chain: Stored, folder: Path) -> dict[str, bytes]:
    """Return what the successor's ConfigMap holds: genesis, first model, and whose successor it is.

    A volume of any chain before it goes on with it; those chains are known by the digests of their geneses.

    **Raises** UsageError when that does not fit.
    """
    paths = [folder / "next" / "genesis", *sorted((folder / "next" / "initial").glob("*.model"))]
    parent = chain.entries["genesis"]
    ancestors = chain.entries.get("ancestors", b"") + hashlib.sha256(parent).hexdigest().encode() + b"\n"
    entries = {path.name: path.read_bytes() for path in paths} | {"parent": parent, "ancestors": ancestors}
    size = sum(map(len, entries.values())) * 4 // 3
    if size > MAX_OBJECT_BYTES:
        raise UsageError(
            f"The successor's genesis and first model take {size} bytes, and a ConfigMap holds {MAX_OBJECT_BYTES}; "
            "such a chain cannot be succeeded on Kubernetes."
        )
    return entries


def keep_invitation(cluster: Cluster, folder: Path, genesis: Genesis) -> None:
    """Sign an invitation to the successor and store it, unless one is stored: the old one was to the old chain.

    **Raises** UsageError when what is stored is for another chain: other approvals make another successor.
    """
    name, key, path = os.environ["INVITATION"], os.environ["OPERATOR_KEY"], folder / "invitation"
    found = cluster.get("secrets", name)
    if found is not None:
        path.touch(0o600)
        path.write_bytes(found.entries["invitation"])
        load_invitation(path, genesis)
        return
    stored = cluster.get("secrets", key)
    if stored is None:
        raise UsageError(f"There is no Secret {key} to invite with; restore it and upgrade again.")
    operator = folder / "operator"
    operator.touch(0o600)
    operator.write_bytes(stored.entries["operator"])
    limits = ("--max-joins", os.environ["MAX_JOINS"], "--until-height", os.environ["UNTIL_HEIGHT"])
    places = ("--genesis", str(folder / "next"), "--key", str(operator), "--out", str(path))
    command = [sys.executable, "-m", "flobc.cli.main", "invite", "--quiet", *places, *limits]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    cluster.create("secrets", name, os.environ["INSTANCE"], {"invitation": path.read_bytes()})


if __name__ == "__main__":
    sys.exit(main())
