"""A Helm release of the chart as seen through the Kubernetes API: replicas, usage, and a way to its ports."""

from flobc.adapters.kubernetes.client import Cluster, connect
from flobc.adapters.kubernetes.forward import PodForward
from flobc.adapters.kubernetes.helm import HelmRelease
from flobc.adapters.kubernetes.meter import PodMeter
from flobc.adapters.kubernetes.scaler import KubernetesScaler

__all__ = ["Cluster", "HelmRelease", "KubernetesScaler", "PodForward", "PodMeter", "connect"]
