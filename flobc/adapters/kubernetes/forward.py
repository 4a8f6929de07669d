"""A way to a pod's port from outside the cluster, through the API."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Any

from kubernetes import client
from kubernetes.stream import portforward

from flobc.adapters.kubernetes.client import COMPONENT, INSTANCE, TIMEOUT_S, Cluster, in_our_words
from flobc.errors import FlobcError, TransientError

_HOST = "127.0.0.1"
_PIECE_BYTES = 1 << 16
_POLL_S = 0.5


class PodForward:
    """Listens on this machine and carries each connection to a ready pod of a role; use it as a context manager.

    Each connection asks anew which pods are ready, so a client that connects again outlives a pod that went.
    """

    def __init__(self, cluster: Cluster, namespace: str, release: str, role: str, port: int) -> None:
        self._cluster, self._namespace, self._release = cluster, namespace, release
        self._role, self._port = role, port
        self._listener = socket.create_server((_HOST, 0))
        self._listener.settimeout(_POLL_S)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="flobc-forward", daemon=True)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{_HOST}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> PodForward:
        self._find_pod()  # so that a release without such a pod is said at once
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """Pass bytes both ways until either side ends; where no pod can be had the client's connection is closed."""
        with near, contextlib.suppress(FlobcError, OSError):
            # the library bends its client to the websocket meanwhile, and others use the cluster's at the same time
            core = client.CoreV1Api(client.ApiClient(self._cluster.core.api_client.configuration))
            with in_our_words(f"reach a {self._role}"):
                forward = portforward(
                    core.connect_get_namespaced_pod_portforward,
                    self._find_pod(),
                    self._namespace,
                    ports=str(self._port),
                )
            far = forward.socket(self._port)
            try:
                _pass_both_ways(near, far, self._stopped)
            finally:
                far.close()
                forward.close()

    def _find_pod(self) -> str:
        with in_our_words(f"list the pods of {self._namespace}"):
            pods = self._cluster.core.list_namespaced_pod(
                self._namespace,
                label_selector=f"{INSTANCE}={self._release},{COMPONENT}={self._role}",
                _request_timeout=TIMEOUT_S,
            ).items
        ready = [pod.metadata.name for pod in pods if _is_ready(pod)]
        if not ready:
            raise TransientError(f"No {self._role} of release {self._release} is ready; look at its pods.", _POLL_S)
        return str(ready[0])


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or ()
    is_leaving = pod.metadata.deletion_timestamp is not None
    return not is_leaving and any(each.type == "Ready" and each.status == "True" for each in conditions)


def _pass_both_ways(near: socket.socket, far: socket.socket, stopped: threading.Event) -> None:
    others = {near: far, far: near}
    while not stopped.is_set():
        readable, _, _ = select.select(list(others), [], [], _POLL_S)
        for each in readable:
            data = each.recv(_PIECE_BYTES)
            if not data:
                return
            others[each].sendall(data)
