"""Models and payloads that a service does not hold itself: fetched by digest from whoever does."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flobc.errors import DataError, FlobcError
from flobc.ports.models import ModelStore
from flobc.ports.payloads import Payload, PayloadStore
from flobc.protocol.messages import UpdateHeader

RETRY_S = 0.5
KEPT_MODELS = 3

V = TypeVar("V")
Fetch = Callable[[bytes], NDArray[np.int32] | None]

logger = logging.getLogger(__name__)


def fetch_patiently(
    fetch: Fetch, digest: bytes, stopping: threading.Event, is_wanted: Callable[[bytes], bool]
) -> NDArray[np.int32] | None:
    """Ask until somebody has the model; None when the service stops first or the model is wanted no more."""
    while is_wanted(digest):
        try:
            model = fetch(digest)
        except FlobcError as error:
            logger.warning("model %s is not there yet: %s", digest.hex()[:12], error)
            model = None
        if model is not None or stopping.wait(RETRY_S):
            return model
    return None


def get_sound(get: Callable[[bytes], V | None], name: bytes) -> V | None:
    """Return what a store has under a name, or None also when it is damaged: it may be whole elsewhere."""
    try:
        return get(name)
    except DataError as error:
        logger.warning("%s", error)
        return None


def _always(digest: bytes) -> bool:
    del digest
    return True


class FetchedModels:
    """A model store that asks others for what its own store lacks. ``get`` may take long: not for the loop.

    With ``stopping`` it asks again and again (``fetch_patiently``), without it once.
    """

    def __init__(
        self,
        local: ModelStore,
        fetch: Fetch | None,
        stopping: threading.Event | None = None,
        is_wanted: Callable[[bytes], bool] = _always,
    ) -> None:
        self.local = local
        self._fetch = fetch
        self._stopping = stopping
        self._is_wanted = is_wanted

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model in the own store."""
        self.local.put(digest, model)

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model from the own store, or from the first who has it."""
        model = get_sound(self.local.get, digest)
        if model is None and self._fetch is not None:
            if self._stopping is None:
                model = self._fetch(digest)
            else:
                model = fetch_patiently(self._fetch, digest, self._stopping, self._is_wanted)
            if model is not None:
                self.local.put(digest, model)
        return model

    def has(self, digest: bytes) -> bool:
        """Return whether the own store has a model."""
        return self.local.has(digest)

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model of the own store but these."""
        self.local.keep_only(digests)


class FetchedPayloads:
    """A payload store that asks others, once, for what its own store lacks. ``get`` may take long: not for the loop."""

    def __init__(self, local: PayloadStore, fetch: Callable[[bytes], Payload | None] | None) -> None:
        self.local = local
        self._fetch = fetch

    def put(self, update: bytes, payload: Payload) -> None:
        """Keep a payload in the own store."""
        self.local.put(update, payload)

    def get(self, update: bytes) -> Payload | None:
        """Return a payload from the own store, or from the first who has it. **Raises** TransientError."""
        payload = get_sound(self.local.get, update)
        if payload is None and self._fetch is not None:
            payload = self._fetch(update)
            if payload is not None:
                self.local.put(update, payload)
        return payload

    def list_headers(self) -> list[UpdateHeader]:
        """Return the headers of all payloads in the own store."""
        return self.local.list_headers()

    def drop(self, updates: Collection[bytes]) -> None:
        """Forget these payloads of the own store."""
        self.local.drop(updates)


class RecentModels:
    """The last few models, in memory: for who can always fetch one again. Thread-safe."""

    def __init__(self) -> None:
        self._models: OrderedDict[bytes, NDArray[np.int32]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model; the oldest one goes."""
        with self._lock:
            self._models[digest] = model
            while len(self._models) > KEPT_MODELS:
                self._models.popitem(last=False)

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None."""
        with self._lock:
            return self._models.get(digest)

    def has(self, digest: bytes) -> bool:
        """Return whether a model is held."""
        return self.get(digest) is not None

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        with self._lock:
            for digest in set(self._models) - digests:
                del self._models[digest]
