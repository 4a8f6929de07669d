"""What the programs of a one-node Kubernetes are told: certificates, tokens and settings, as files in one folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ADDRESS = "10.200.0.1"
"""Where the node is, on the loopback interface: pods reach it there, and nothing outside this machine does."""

PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"
NAME = "node1"
PAUSE_IMAGE = "localhost/flobc-test/pause:1"
USERS = {
    "admin": 'admin,1,"system:masters"',
    "controllers": "system:kube-controller-manager,2,",
    "scheduler": "system:kube-scheduler,3,",
    "kubelet": f'system:node:{NAME},4,"system:nodes"',
    "proxy": "system:kube-proxy,5,",
}
_NAMES = (
    "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,"
    f"IP:127.0.0.1,IP:{ADDRESS},IP:{FIRST_SERVICE}\nextendedKeyUsage=serverAuth,clientAuth\n"
)


def write_files(root: Path) -> None:
    """Write everything that is not there yet. The tokens are good for this node alone, which nobody else reaches."""
    for folder in ("pki", "log", "run", "cni", "volumes"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    root.chmod(0o711)
    (root / "pki").chmod(0o700)
    if not (root / "pki" / "kubelet.crt").exists():
        _write_certificates(root / "pki")
    tokens = "".join(f"{user}-token,{rights}\n" for user, rights in USERS.items())
    (root / "pki" / "tokens.csv").write_text(tokens)
    for user in USERS:
        (root / f"{user}.kubeconfig").write_text(json.dumps(_build_kubeconfig(root, user), indent=1))
    (root / "cni" / "10-bridge.conflist").write_text(json.dumps(_CNI, indent=1))
    (root / "containerd.toml").write_text(_CONTAINERD.format(root=root, pause=PAUSE_IMAGE))
    (root / "kubelet.yaml").write_text(_KUBELET.format(root=root, address=ADDRESS))
    (root / "proxy.yaml").write_text(_PROXY.format(root=root, address=ADDRESS, name=NAME))


def _write_certificates(pki: Path) -> None:
    _openssl(pki, "genrsa", "-out", "sa.key", "2048")
    _openssl(pki, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    new = ("-newkey", "rsa:2048", "-nodes")
    _openssl(pki, "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "365")
    (pki / "names").write_text(_NAMES)
    for name, subject in (("apiserver", "/O=system:masters/CN=kube-apiserver"), ("kubelet", f"/CN={NAME}")):
        _openssl(pki, "req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "365")
        _openssl(pki, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _build_kubeconfig(root: Path, user: str) -> dict[str, object]:
    cluster = {"server": f"https://{ADDRESS}:6443", "certificate-authority": str(root / "pki" / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": f"{user}-token"}}],
    }


_CNI = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "flobc-pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "mtu": 1400,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
    ],
}
# Without CAP_SYS_RESOURCE no process may lower its oom score, and every pod's sandbox asks for that.
_CONTAINERD = """\
version = 2
root = "{root}/containerd"
state = "{root}/run/containerd"
[grpc]
  address = "{root}/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{root}/cni"
"""
# failCgroupV1 and swap: the machines of tests are as they are. Nothing is evicted for a disk that others fill.
_KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
healthzBindAddress: 127.0.0.1
tlsCertFile: {root}/pki/kubelet.crt
tlsPrivateKeyFile: {root}/pki/kubelet.key
authorization: {{mode: Webhook}}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {root}/pki/ca.crt}}}}
containerRuntimeEndpoint: "unix://{root}/run/containerd.sock"
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
clusterDNS: [{address}]
clusterDomain: cluster.local
evictionHard: {{memory.available: 200Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
"""
_PROXY = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {root}/proxy.kubeconfig}}
clusterCIDR: 10.244.0.0/16
hostnameOverride: {name}
mode: iptables
bindAddress: {address}
healthzBindAddress: "127.0.0.1:10256"
metricsBindAddress: "127.0.0.1:10249"
oomScoreAdj: 0
conntrack: {{maxPerCore: 0}}
"""
