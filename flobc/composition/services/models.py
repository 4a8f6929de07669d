"""Models that a service does not hold itself: fetched by digest from whoever does."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flobc.errors import FlobcError
from flobc.ports.models import ModelStore

RETRY_S = 0.5
KEPT_MODELS = 3

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


def _always(digest: bytes) -> bool:
    del digest
    return True


class FetchedModels:
    """A model store that asks others for what its own store lacks. ``get`` may take long: not for the loop."""

    def __init__(
        self,
        local: ModelStore,
        fetch: Fetch | None,
        stopping: threading.Event,
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
        model = self.local.get(digest)
        if model is None and self._fetch is not None:
            model = fetch_patiently(self._fetch, digest, self._stopping, self._is_wanted)
            if model is not None:
                self.local.put(digest, model)
        return model

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model of the own store but these."""
        self.local.keep_only(digests)


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

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        with self._lock:
            for digest in set(self._models) - digests:
                del self._models[digest]
