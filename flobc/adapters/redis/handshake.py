"""Why TLS with Redis fails, where trying again cannot help."""

from __future__ import annotations

import re
import socket
import ssl

import redis

from flobc.adapters.redis.settings import RedisSettings

_LASTING = re.compile("CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|KEY_VALUES|X509|PEM")
"""What OpenSSL says when files or certificates are the reason."""
_ANSWER_S = 3.0
"""How long a server may take to say what it thinks of our certificate; one that takes it says nothing."""


def find_tls_refusal(error: BaseException, settings: RedisSettings) -> str | None:
    """Return what an error says of a certificate, theirs or ours, that is not accepted; None for any other error."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, ssl.SSLError) and _LASTING.search(str(reason)):
            return str(reason)
        reason = reason.__cause__ or reason.__context__
    # a server hangs up on a certificate that it does not take, and its reason is lost on who was still sending
    return _ask_for_reason(settings) if settings.tls and isinstance(error, redis.ConnectionError) else None


def _ask_for_reason(settings: RedisSettings) -> str | None:
    """Listen for what the server says of our certificate before we say anything; nothing when it is content."""
    try:
        context = ssl.create_default_context(cafile=None if settings.tls_ca is None else str(settings.tls_ca))
        if settings.tls_certificate is not None:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        with (
            socket.create_connection((settings.host, settings.port), settings.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as secured,
        ):
            secured.settimeout(_ANSWER_S)
            secured.recv(1)
    except OSError as error:
        return str(error) if isinstance(error, ssl.SSLError) and _LASTING.search(str(error)) else None
    return None
