"""An authority of one's own and certificates of it, with the openssl program."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flobc.adapters.grpc import TlsSettings


def build_authority(folder: Path) -> Path:
    """A new authority in a new folder; returns its certificate."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    return folder / "ca.pem"


def build_tls(ca: Path, name: str) -> TlsSettings:
    """A key and a certificate of the authority for localhost."""
    folder = ca.parent
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl(folder, "req", *_NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return TlsSettings(ca, folder / f"{name}.pem", folder / f"{name}.key")


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
