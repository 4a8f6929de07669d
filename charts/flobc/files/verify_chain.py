"""Verify, from the genesis on, the chain that ledgers serve: arguments are addresses and options of the command."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from flobc.composition.services.parts import load_genesis_file
from flobc.protocol.params import get_chain_id

WAIT_S = 240
POLL_S = 2


def main() -> int:
    """Wait for the first block, then return the exit code of the verification."""
    genesis = Path(os.environ.get("GENESIS", "/chain/genesis"))
    chain, parent = get_chain_id(load_genesis_file(genesis)).hex(), genesis.with_name("parent")
    options = ["--chain", chain, *(["--parent", str(parent.resolve())] if parent.exists() else [])]
    command = [sys.executable, "-m", "flobc.cli.main"]
    until_s = time.monotonic() + WAIT_S
    while True:
        asked = subprocess.run(
            [*command, "status", "--json", *sys.argv[1:]], check=False, capture_output=True, text=True
        )
        if asked.returncode == 0 and json.loads(asked.stdout)["height"] > 0:
            break
        if time.monotonic() > until_s:
            print(f"No block came in {WAIT_S} s: {asked.stdout} {asked.stderr}", file=sys.stderr)
            return 1
        time.sleep(POLL_S)
    return subprocess.run([*command, "verify", *sys.argv[1:], *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
