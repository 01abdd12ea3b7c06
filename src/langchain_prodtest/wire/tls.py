"""A certificate authority of this process alone, for names that it has no other right to."""

import ssl
import tempfile
from functools import lru_cache
from pathlib import Path

__all__ = ["Authority"]

_NAMES = 256  # certificates kept; the wildcards in the table of hosts have no end
_VARIABLES = (
    "SSL_CERT_FILE",  # OpenSSL, Python, httpx, Go
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)


class Authority:
    """Issues certificates that only those believe who are told to trust `bundle`.

    The private keys never leave the memory of this process. `bundle` is the authority's own certificate as
    a PEM file, readable by this user alone, and nothing else is in it: who trusts it trusts no other host.
    """

    def __init__(self) -> None:
        import trustme  # takes a tenth of a second

        self._authority = trustme.CA(organization_name="langchain-prodtest, throw-away")
        self._folder = tempfile.TemporaryDirectory(prefix="prodtest-authority-")
        self.bundle = Path(self._folder.name) / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.bundle))
        self.context = lru_cache(maxsize=_NAMES)(self._issue)

    def _issue(self, *names: str) -> ssl.SSLContext:
        """Return what a server needs to answer as all of `names` (hosts or addresses), over HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        self._authority.issue_cert(*names).configure_cert(context)
        return context

    def environment(self) -> dict[str, str]:
        """Return the variables that have a process trust this authority, and no other."""
        return dict.fromkeys(_VARIABLES, str(self.bundle))

    def close(self) -> None:
        """Remove the bundle."""
        self._folder.cleanup()
