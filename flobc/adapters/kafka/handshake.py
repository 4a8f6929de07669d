"""Why TLS with Kafka fails: the library takes every broken connection for a broker that is away, and tries on."""

from __future__ import annotations

import socket
import ssl

from flobc.adapters.kafka.settings import KafkaSettings
from flobc.errors import UsageError

_ASK_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff")
"""What any client sends first, and a server answers before it knows who asks: length, API 18, version 0, number 1,
no name."""
_OURS_REFUSED = ("ALERT", "HANDSHAKE_FAILURE")


def build_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return what a TLS connection is made with. **Raises** UsageError when a file is not what it should be."""
    options = settings.build_options()
    names = [name for name in (options["ssl_cafile"], options["ssl_certfile"], options["ssl_keyfile"]) if name]
    try:
        context = ssl.create_default_context(cafile=options["ssl_cafile"])
        if options["ssl_certfile"]:
            context.load_cert_chain(options["ssl_certfile"], options["ssl_keyfile"], options["ssl_password"] or "")
    except OSError as error:
        raise UsageError(
            f"The TLS files {', '.join(names)} for Kafka cannot be used ({error.strerror or error}); give readable PEM "
            "files, and a certificate with its own key."
        ) from error
    return context


def find_refusal(settings: KafkaSettings) -> str | None:
    """Return why no TLS connection can be made as things are; None when one can, or when nobody is there.

    **Raises** UsageError when a file is not what it should be.
    """
    context = build_context(settings)
    for address in settings.address.split(","):
        host, _, port = address.strip().rpartition(":")
        host = host.strip("[]")
        try:
            with (
                socket.create_connection((host, int(port)), settings.connect_timeout_s) as plain,
                context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                # with TLS 1.3 a server looks at our certificate only after our half of the handshake is done
                secured.sendall(_ASK_VERSIONS)
                secured.recv(4)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not to be trusted: {error.verify_message}"
        except ssl.SSLError as error:
            if any(word in str(error.reason) for word in _OURS_REFUSED):
                return f"it does not take our certificate: {error.reason}"
        except (OSError, ValueError):
            continue
    return None
