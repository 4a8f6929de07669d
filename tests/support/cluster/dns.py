"""The names of a test node's Services and pods, over UDP; no other name exists for its pods.

Usage: python -m tests.support.cluster.dns KUBECONFIG FOLDER
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping

from kubernetes import client, config

from tests.support.cluster.node_files import ADDRESS

ZONE = "cluster.local"
_REFRESH_S = 0.5
_HEADER_BYTES = 12
_TYPE_A = 1
_NO_SUCH_NAME = 3
_TTL_S = 1
Names = Mapping[str, tuple[str, ...]]


def build_names(services: list[client.V1Service], slices: list[client.V1EndpointSlice]) -> Names:
    """Each name and its addresses: a Service's own, or for a headless one those of its ready pods."""
    names: dict[str, list[str]] = {}
    headless = set()
    for service in services:
        name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{ZONE}"
        address = service.spec.cluster_ip
        names[name] = [address] if address not in (None, "", "None") else []
        if not names[name]:
            headless.add(name)
    for part in slices:
        owner = (part.metadata.labels or {}).get("kubernetes.io/service-name")
        name = f"{owner}.{part.metadata.namespace}.svc.{ZONE}"
        for endpoint in part.endpoints or []:
            if endpoint.conditions.ready is False:
                continue
            if name in headless:
                names[name] += endpoint.addresses
            if endpoint.hostname:
                names.setdefault(f"{endpoint.hostname}.{name}", []).extend(endpoint.addresses)
    return {name: tuple(addresses) for name, addresses in names.items()}


def read_question(query: bytes) -> tuple[str, int, int]:
    """A query's name, its type, and where its question ends. **Raises** IndexError or struct.error when it is cut."""
    labels, place = [], _HEADER_BYTES
    while query[place]:
        length = query[place]
        labels.append(query[place + 1 : place + 1 + length].decode("ascii", "replace").lower())
        place += 1 + length
    (kind,) = struct.unpack("!H", query[place + 1 : place + 3])
    return ".".join(labels), kind, place + 5


def build_answer(query: bytes, names: Names) -> bytes:
    """The answer to a query."""
    name, kind, end = read_question(query)
    addresses = names.get(name)
    given = addresses or () if kind == _TYPE_A else ()
    flags = 0x8580 | (_NO_SUCH_NAME if addresses is None else 0)
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(given), 0, 0)
    records = (struct.pack("!HHHIH", 0xC00C, _TYPE_A, 1, _TTL_S, 4) + socket.inet_aton(address) for address in given)
    return header + query[_HEADER_BYTES:end] + b"".join(records)


class Server:
    """Answers on port 53 of the node's address with names that are read again twice a second."""

    def __init__(self) -> None:
        self._names: Names = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, 53))

    def refresh(self) -> None:
        """Read the names for ever."""
        core, discovery = client.CoreV1Api(), client.DiscoveryV1Api()
        while True:
            try:
                services = core.list_service_for_all_namespaces().items
                self._names = build_names(services, discovery.list_endpoint_slice_for_all_namespaces().items)
            except (OSError, client.ApiException, client.rest.urllib3.exceptions.HTTPError) as error:
                print(f"names not read: {error}", file=sys.stderr, flush=True)
            time.sleep(_REFRESH_S)

    def serve(self) -> None:
        """Answer for ever."""
        while True:
            self._answer(*self._socket.recvfrom(4096))

    def _answer(self, query: bytes, asker: tuple[str, int]) -> None:
        try:
            self._socket.sendto(build_answer(query, self._names), asker)
        except (OSError, IndexError, struct.error) as error:
            print(f"no answer for {asker[0]}: {error}", file=sys.stderr, flush=True)


def main(kubeconfig: str) -> None:
    """Serve until the process is ended."""
    config.load_kube_config(kubeconfig)
    server = Server()
    threading.Thread(target=server.refresh, daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1])
