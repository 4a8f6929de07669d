"""Write encoding.json, the language-neutral vectors of spec/WIRE.md.

Usage: python tests/vectors/make_encoding.py [--check]
With --check nothing is written; the exit code is 1 when the file differs from what the code gives.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from flobc.protocol.chain.block import Block, Body, CountedVotes, Decision, Header  # noqa: E402
from flobc.protocol.consensus.starts import find_starts  # noqa: E402
from flobc.protocol.consensus.state import CoreState  # noqa: E402
from flobc.protocol.consensus.succession import build_approve, build_successor, get_plan  # noqa: E402
from flobc.protocol.encoding import compute_digest, encode  # noqa: E402
from flobc.protocol.messages import (  # noqa: E402
    Approve,
    BaseReport,
    Evidence,
    Fault,
    Invitation,
    Join,
    Ready,
    Seal,
    Signed,
    Timeout,
    UpdateChunk,
    UpdateHeader,
    VoteBatch,
    compute_update_id,
    decode_record,
    encode_record,
    sign,
    signing_bytes,
)
from flobc.protocol.params import Genesis, Plan, get_chain_id  # noqa: E402
from flobc.protocol.sync.params import SyncParams  # noqa: E402
from flobc.protocol.trust.state import TrustState  # noqa: E402
from tests.support.dialogue import Chain, build_params, digest, identity  # noqa: E402

PATH = HERE / "encoding.json"
RECORDS = (VoteBatch, Timeout, Ready, Seal, Join, Evidence, UpdateHeader, UpdateChunk)
OTHERS = (
    Invitation,
    Approve,
    BaseReport,
    Plan,
    Genesis,
    Header,
    Body,
    Block,
    Decision,
    CountedVotes,
    CoreState,
    TrustState,
    SyncParams,
)
CLASSES: dict[str, type[Any]] = {cls.__name__: cls for cls in RECORDS + OTHERS}
SECRET = identity("invitation")
NEWCOMER = identity("newcomer")


def describe(value: Any) -> Any:
    """Give plain JSON: bytes as hex, enums as numbers, maps as lists of pairs in ascending order."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, enum.IntEnum):
        return int(value)
    if isinstance(value, dict):
        return [[describe(key), describe(item)] for key, item in sorted(value.items())]
    if isinstance(value, tuple):
        return [describe(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def build_values() -> dict[str, Any]:
    """Give one value or more of every kind; all of one small chain with two validators and two trainers."""
    chain = Chain(validators=2, trainers=2, params=build_params(mode="invite"))
    update = chain.update(0)
    batch = chain.build_vote(0, update, score=-20_000)
    batch = dataclasses.replace(batch, report=BaseReport(0, 2_302_585, 101_000))
    faulty = dataclasses.replace(chain.build_vote(1, update, fault=Fault.NON_FINITE), headers=())
    invitation = chain.invite(SECRET, max_joins=2, expires_height=10)
    values: dict[str, Any] = {
        "genesis": chain.genesis,
        "genesis header": chain.state.head.header,
        "genesis state": chain.state.core,
        "update header": update,
        "update chunk": UpdateChunk(compute_update_id(update), 0, (bytes(range(32)),), b"\x00\x01\xfe\xff"),
        "vote batch with a score, a header and a report": sign(batch, chain.validators[0]),
        "vote batch with a fault": sign(faulty, chain.validators[1]),
        "invitation": invitation,
        "evidence": chain.evidence(chain.update(1, norm=1), chain.update(1, norm=2**64 - 1)),
    }
    values["join"] = chain.join(NEWCOMER, invitation, SECRET)
    values["timeout"] = chain.timeout(0, step=0)
    chain.send(values["vote batch with a score, a header and a report"])
    chain.send(values["vote batch with a fault"])
    chain.votes(chain.update(1), 1_000_000, 0)
    model = digest("model", 1)
    values["ready"] = chain.ready(0, model)
    chain.ready(1, model)
    values["seal"] = chain.seal(0, model)
    chain.seal(1, model)
    values["header"] = chain.state.head.header
    values["decision"] = chain.state.head.body.decisions[0]
    values["counted votes"] = chain.state.head.body.votes[0]
    values["block"] = chain.state.head
    values["state"] = chain.state.core
    values |= build_succession(chain)
    values["sync params of an adaptive chain"] = build_params("adaptive", majority_ratio_ppm=500_000).sync
    return values


def build_succession(chain: Chain) -> dict[str, Any]:
    """Give the plan, an approval and the genesis of a successor from the chain's first block."""
    genesis, head = chain.genesis, chain.state.head
    admitted = (identity("trainer", 2).public_key,)
    plan = Plan(get_chain_id(genesis), genesis.version, genesis.validators, admitted, (), genesis.params)
    approvals = [
        sign(build_approve(plan, seal.validator, seal), who)
        for seal, who in zip(head.certificate, chain.validators, strict=True)
    ]
    successor = build_successor(genesis, plan, find_starts(genesis, chain.log), approvals)
    assert get_plan(successor) == plan
    return {"plan": plan, "approval": approvals[0], "successor's genesis": successor}


def get_seed(message: Signed) -> bytes:
    """Give the secret seed of the sender's key."""
    labels = [(role, i) for role in ("validator", "trainer") for i in range(2)]
    seeds = {
        identity(*label).public_key: digest("identity", *label) for label in [*labels, ("operator",), ("newcomer",)]
    }
    return seeds[message.sender]


def build_valid() -> list[dict[str, Any]]:
    entries = []
    for name, value in build_values().items():
        message = decode_record(value) if isinstance(value, bytes) else value
        entry = {
            "name": name,
            "type": type(message).__name__,
            "fields": describe(message),
            "encoding": encode(message).hex(),
            "digest": compute_digest(message).hex(),
        }
        if isinstance(message, RECORDS):
            entry["record"] = encode_record(message).hex()
        if isinstance(message, UpdateHeader):
            entry["update_id"] = compute_update_id(message).hex()
        if isinstance(message, Signed):
            entry["seed"] = get_seed(message).hex()
            entry["signed_bytes"] = signing_bytes(message).hex()
        entries.append(entry)
    return entries


def build_invalid() -> list[dict[str, str]]:
    """Give bytes that no decoder may accept, with the rule that they break."""
    values = build_values()
    update, core = encode(values["update header"]), values["state"]
    timeout = values["timeout"]
    batch = encode_record(values["vote batch with a fault"])
    no_report = batch.index(b"\x00", 65)
    header = encode(dataclasses.replace(values["header"], accuracy=None))
    trust = encode(TrustState(dict(sorted(core.trust.entries.items())[:2])))
    pairs = (len(trust) - 8) // 2
    first, second, end = trust[4 : 4 + pairs], trust[4 + pairs : -4], trust[-4:]
    decision = encode(values["decision"])
    reason = 32 + 32 + 8 + 2
    genesis = encode(values["genesis"])
    word = b"\x00\x00\x00\x05int16"
    cases = [
        ("invalid_empty", "record", b"", "WIRE-10"),
        ("invalid_unknown_type", "record", b"\x07" + timeout[1:], "WIRE-10"),
        ("invalid_trailing_byte", "record", timeout + b"\x00", "WIRE-3"),
        ("invalid_truncated_by_one_byte", "record", timeout[:-1], "WIRE-3"),
        ("invalid_type_without_a_body", "record", timeout[:1], "WIRE-3"),
        ("invalid_optional_marker_2", "record", batch[:no_report] + b"\x02" + batch[no_report + 1 :], "WIRE-4"),
        ("invalid_last_optional_marker_255", "Header", header[:-1] + b"\xff", "WIRE-4"),
        ("invalid_enum_code", "Decision", decision[:reason] + b"\x05" + decision[reason + 1 :], "WIRE-4"),
        ("invalid_utf_8", "UpdateHeader", update.replace(word, word[:4] + b"\xff\xfe\xfd\xfc\xfb"), "WIRE-4"),
        ("invalid_utf_8_overlong", "UpdateHeader", update.replace(word, word[:4] + b"\xc0\xafabc"), "WIRE-4"),
        ("invalid_utf_8_surrogate", "UpdateHeader", update.replace(word, word[:4] + b"\xed\xa0\x80ab"), "WIRE-4"),
        ("invalid_word", "Genesis", genesis.replace(b"\x00\x00\x00\x04loss", b"\x00\x00\x00\x04lass"), "WIRE-4"),
        (
            "invalid_length_beyond_the_end",
            "UpdateHeader",
            update.replace(word, b"\x00\x00\xff\xff" + word[4:]),
            "WIRE-5",
        ),
        ("invalid_length_beyond_the_limit", "record", b"\x06\x01\x00\x00\x01" + bytes(64), "WIRE-5"),
        (
            "invalid_count_that_cannot_fit",
            "record",
            batch[: no_report + 1] + b"\xff" * 4 + batch[no_report + 5 :],
            "WIRE-5",
        ),
        ("invalid_map_out_of_order", "TrustState", trust[:4] + second + first + end, "WIRE-6"),
        ("invalid_map_with_a_key_twice", "TrustState", trust[:4] + first + first + end, "WIRE-6"),
    ]
    return [{"name": name, "type": kind, "bytes": data.hex(), "rule": rule} for name, kind, data, rule in cases]


def render() -> str:
    """Give JSON with one entry a line, so that a change shows as the lines it changed."""
    parts = []
    for name, entries in (("valid", build_valid()), ("invalid", build_invalid())):
        lines = ",\n    ".join(json.dumps(entry) for entry in entries)
        parts.append(f'  "{name}": [\n    {lines}\n  ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    text = render()
    if not options.check:
        PATH.write_text(text, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PATH.name} differs from what the code gives; see whether the change is meant.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
