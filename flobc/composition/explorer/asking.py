"""What viewers put into addresses: heights, digests and searches; a wrong one is a page with a sentence."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.queries import MIN_PREFIX, Found
from flobc.protocol.params import get_chain_id

MAX_QUERY = 200
_HEX = re.compile(r"[0-9a-f]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_HEIGHT = re.compile(r"\d{1,18}")


def read_height(explorer: Explorer, text: str) -> int:
    """Return a height that the chain has. **Raises** HTTPException."""
    if not _HEIGHT.fullmatch(text):
        raise HTTPException(404, "A block's height is a whole number; search for digests instead.")
    height, newest = int(text), explorer.index.height
    if not 1 <= height <= newest:
        has = f"the blocks 1 to {newest}" if newest else "no blocks yet"
        raise HTTPException(404, f"There is no block {height}: the explorer knows {has}.")
    return height


def read_digest(text: str, what: str) -> bytes:
    """Return a whole digest or key. **Raises** HTTPException."""
    if not _DIGEST.fullmatch(text):
        raise HTTPException(404, f"{what} is 64 hexadecimal digits; search for its first ones instead.")
    return bytes.fromhex(text)


def read_start(request: Request, name: str) -> int | None:
    """Return where a page of a list begins, None for the first. **Raises** HTTPException."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not _HEIGHT.fullmatch(text):
        raise HTTPException(404, "This page of the list does not exist; go back to its beginning.")
    return int(text)


def read_query(request: Request) -> str:
    """Return what is searched for, without what people copy along with it."""
    return request.query_params.get("q", "")[:MAX_QUERY].strip().removeprefix("#").strip()


def search(explorer: Explorer, text: str) -> list[Found]:
    """Return everything that a height, or the first digits of a digest, id or key, may mean."""
    found = []
    if _HEIGHT.fullmatch(text) and 1 <= int(text) <= explorer.index.height:
        found.append(Found("block", text, f"/blocks/{int(text)}"))
    digits = text.lower().removeprefix("0x")
    if not _HEX.fullmatch(digits) or len(digits) < MIN_PREFIX:
        return found
    genesis = explorer.source.genesis
    if get_chain_id(genesis).hex().startswith(digits):
        found.append(Found("chain", get_chain_id(genesis).hex(), "/"))
    for key in genesis.validators:
        if key.hex().startswith(digits):
            found.append(Found("validator", key.hex(), f"/validators/{key.hex()}"))
    for key in explorer.queries.find_trainers(digits):
        found.append(Found("trainer", key.hex(), f"/trainers/{key.hex()}"))
    return found + explorer.queries.search(digits)


def is_own_page(request: Request) -> bool:
    """Return whether a request that starts work comes from a page of ours, as far as the browser tells."""
    origin = request.headers.get("origin")
    return origin is None or origin == "null" or urlsplit(origin).netloc == request.headers.get("host")
