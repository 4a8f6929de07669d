"""Why TLS with Kafka fails: the library takes every broken connection for a broker that is away, and tries on."""

from __future__ import annotations

import socket
import ssl

from flobc.adapters.kafka.settings import KafkaSettings
from flobc.errors import UsageError

_ANSWER_S = 3.0
"""How long a server may take to say what it thinks of our certificate; one that takes it says nothing."""
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
                # with TLS 1.3 a server looks at our certificate only after our half of the handshake is done, and
                # what it says of it would be lost if we were sending meanwhile
                secured.settimeout(_ANSWER_S)
                secured.recv(1)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not to be trusted: {error.verify_message}"
        except ssl.SSLError as error:
            if any(word in str(error.reason) for word in _OURS_REFUSED):
                return f"it does not take our certificate: {error.reason}"
        except (OSError, ValueError):
            continue
    return None
