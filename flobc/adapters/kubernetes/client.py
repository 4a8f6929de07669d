"""How the API is reached, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from flobc.errors import TransientError, UsageError

TIMEOUT_S = 15.0
RETRY_S = 2.0
INSTANCE, COMPONENT = "app.kubernetes.io/instance", "app.kubernetes.io/component"
"""The chart's labels on all that it makes: the release, and the role."""
_PASSING = (409, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Cluster:
    """The parts of the API that are used. The library's own types say of every field that it may be missing."""

    apps: Any
    core: Any
    autoscaling: Any


def connect(kubeconfig: str | None = None, context: str | None = None) -> Cluster:
    """Return the cluster that ``kubectl`` would talk to, or the one that this process runs in.

    Connects with the first request. **Raises** UsageError when there is no usable configuration.
    """
    try:
        settings = _load(kubeconfig, context)
    except (ConfigException, OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"There is no usable configuration of a cluster ({' '.join(str(error).split())}); give --kubeconfig FILE "
            "or set KUBECONFIG."
        ) from error
    settings.retries = 1  # who waits asks again
    settings.safe_chars_for_path_param = "/"  # or a path below a proxy would be one name with %2F in it
    api = client.ApiClient(settings)
    return Cluster(client.AppsV1Api(api), client.CoreV1Api(api), client.AutoscalingV2Api(api))


def _load(kubeconfig: str | None, context: str | None) -> client.Configuration:
    settings = client.Configuration()
    try:
        config.load_kube_config(kubeconfig, context, client_configuration=settings)
    except ConfigException:
        if kubeconfig is not None or context is not None:
            raise
        config.load_incluster_config(client_configuration=settings)
    return settings


@contextmanager
def in_our_words(what: str) -> Iterator[None]:
    """Say what the API refused. **Raises** TransientError for what may pass, UsageError for the rest."""
    try:
        yield
    except ApiException as error:
        reason = f"{error.status} {error.reason}"
        if error.status in _PASSING or not error.status:
            raise TransientError(
                f"The cluster could not {what} now ({reason}); trying again may help.", RETRY_S
            ) from error
        if error.status in (401, 403):
            raise UsageError(
                f"The cluster does not let you {what} ({reason}); docs/load.md lists the rights that this takes."
            ) from error
        raise UsageError(f"The cluster refused to {what} ({reason}); look at it with kubectl.") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError(
            f"The cluster cannot be reached to {what} ({type(error).__name__}); is the kubeconfig right?",
            RETRY_S,
        ) from error
