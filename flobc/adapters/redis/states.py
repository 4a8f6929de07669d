"""Core states, one key each."""

from __future__ import annotations

from flobc.adapters.redis.client import RedisClient
from flobc.ports.states import require_state


class RedisStates:
    """Encoded core states by digest; several replicas may write at once. Every method raises TransientError."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def put(self, digest: bytes, state: bytes) -> None:
        """Keep an encoded state."""
        self._client.call("SET", self._client.key("state", digest.hex()), state)

    def get(self, digest: bytes) -> bytes | None:
        """Return the encoded state with this digest, or None. **Raises** DataError when it has another one."""
        state = self._client.call("GET", self._client.key("state", digest.hex()))
        if state is not None:
            require_state(digest, state, f"Redis at {self._client.address}")
        return None if state is None else bytes(state)
