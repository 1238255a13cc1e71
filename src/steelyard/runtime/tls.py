"""TLS as a client: which certificates are believed, and plain words for what goes wrong."""

import os
import ssl

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.kernel.errors import UsageError

_CA_VARIABLE = "SSL_CERT_FILE"
# What OpenSSL says when the peer answers in something that is no TLS record.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


def client_context(plan: EndpointPlan) -> ssl.SSLContext:
    """Return a context that believes the CAs of `plan.ca_file`, or else those of this system.

    The system's are OpenSSL's: `SSL_CERT_FILE` and `SSL_CERT_DIR` replace them. With
    `plan.insecure` no certificate is checked at all.

    Raises:
        UsageError: the file of CA certificates can't be read.
    """
    source = plan.ca_file or os.environ.get(_CA_VARIABLE, "")
    try:
        context = ssl.create_default_context(cafile=plan.ca_file or None)
        if source and not plan.insecure:
            # OpenSSL passes over a file that it can't read, and then believes nobody.
            context.load_verify_locations(cafile=source)
    except OSError as error:
        raise UsageError(
            f"The CA certificates can't be read: {error.strerror or error}",
            got=source or "the certificates of this system",
            expected="a file of certificates in PEM form",
            next_step=f"See --ca-file and {_CA_VARIABLE}.",
        ) from error
    if plan.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def explain(error: OSError) -> str:
    """Return what went wrong in a handshake or on a TLS connection, and what could be done."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted: {error.verify_message.rstrip('.')} "
            f"(name its CA with --ca-file, or skip the check with --insecure)"
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _NO_TLS:
            return "the server does not speak TLS there; is its URL http://?"
        return f"TLS failed: {reason.replace('_', ' ').lower() or error}"
    return f"the server broke off the TLS handshake: {error.strerror or error}"
