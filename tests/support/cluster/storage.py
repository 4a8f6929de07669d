"""Volumes for a test node's claims: a folder each, made when it is claimed and removed when its claim is gone.

Usage: python -m tests.support.cluster.storage KUBECONFIG FOLDER
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from kubernetes import client, config

from tests.support.cluster.node_files import NAME

CLASS = "folders"
_POLL_S = 0.3


def build_class() -> client.V1StorageClass:
    """The storage class of claims that name none."""
    return client.V1StorageClass(
        metadata=client.V1ObjectMeta(name=CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
        provisioner="flobc.test/folders",
        reclaim_policy="Retain",
        volume_binding_mode="Immediate",
    )


def build_volume(claim: client.V1PersistentVolumeClaim, folder: Path) -> client.V1PersistentVolume:
    """A volume for one claim. ``local``, because only that kind takes a pod's fsGroup."""
    term = client.V1NodeSelectorTerm(
        match_expressions=[client.V1NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[NAME])]
    )
    spec = client.V1PersistentVolumeSpec(
        access_modes=claim.spec.access_modes,
        capacity={"storage": claim.spec.resources.requests["storage"]},
        storage_class_name=CLASS,
        persistent_volume_reclaim_policy="Retain",
        local=client.V1LocalVolumeSource(path=str(folder)),
        node_affinity=client.V1VolumeNodeAffinity(required=client.V1NodeSelector(node_selector_terms=[term])),
        claim_ref=client.V1ObjectReference(
            kind="PersistentVolumeClaim",
            api_version="v1",
            namespace=claim.metadata.namespace,
            name=claim.metadata.name,
            uid=claim.metadata.uid,
        ),
    )
    return client.V1PersistentVolume(metadata=client.V1ObjectMeta(name=folder.name), spec=spec)


def serve_claims(core: client.CoreV1Api, root: Path) -> None:
    """Make a volume for each claim that waits, and remove those whose claim is gone."""
    for claim in core.list_persistent_volume_claim_for_all_namespaces().items:
        if claim.status.phase == "Pending" and claim.spec.storage_class_name == CLASS:
            folder = root / f"claim-{claim.metadata.uid}"
            if not folder.exists():
                folder.mkdir(parents=True)
                core.create_persistent_volume(build_volume(claim, folder))
    for volume in core.list_persistent_volume().items:
        if volume.status.phase == "Released" and volume.spec.storage_class_name == CLASS:
            core.delete_persistent_volume(volume.metadata.name)
            shutil.rmtree(root / volume.metadata.name, ignore_errors=True)


def main(kubeconfig: str, root: str) -> None:
    """Serve until the process is ended."""
    config.load_kube_config(kubeconfig)
    storage = client.StorageV1Api()
    if CLASS not in {known.metadata.name for known in storage.list_storage_class().items}:
        storage.create_storage_class(build_class())
    core = client.CoreV1Api()
    while True:
        try:
            serve_claims(core, Path(root) / "volumes")
        except (OSError, client.ApiException, client.rest.urllib3.exceptions.HTTPError) as error:
            print(f"claims not served: {error}", file=sys.stderr, flush=True)
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
