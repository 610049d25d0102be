"""Why two sides do not agree on TLS, by what clients say of it, and which setting to look at.

Every client says it in words of its own, most of them OpenSSL's. Those of Python have capitals and underscores.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Fault(Enum):
    """What keeps two sides from agreeing. Only a person can mend it."""

    NAME = auto()
    """The server's certificate has another name than the one it was reached by."""
    EXPIRED = auto()
    """The server's certificate is over, or not yet valid."""
    AUTHORITY = auto()
    """Nobody whom this machine trusts has signed the server's certificate."""
    CLIENT = auto()
    """The server wants a certificate of the client, or another one."""
    PROTOCOL = auto()
    """One side speaks TLS and the other does not."""
    OTHER = auto()


_SAID = {
    Fault.NAME: ("hostname mismatch", "ip address mismatch", "is not valid for", "does not match host name"),
    Fault.CLIENT: (
        "certificate required", "alert bad certificate", "alert handshake failure", "alert unknown ca",
        "alert certificate", "alert unsupported certificate", "valid client certificate", "peer did not return",
        "client authentication might be required", "alert decrypt error",
    ),
    Fault.EXPIRED: ("has expired", "not yet valid", "expired certificate"),
    Fault.PROTOCOL: (
        "wrong version number", "record layer failure", "packet length too long", "unknown protocol", "http request",
        "does not support ssl", "no encryption", "ssl off", "plaintext broker listener", "speaks tls", "speaks no tls",
    ),
    Fault.AUTHORITY: (
        "local issuer certificate", "self-signed", "self signed", "first certificate", "issuer certificate",
    ),
}  # fmt: skip
"""What each is known by, in small letters; the first that fits."""


def fault_of(said: str) -> Fault:
    """Return what a client's words mean."""
    plain = said.lower().replace("_", " ")
    return next((fault for fault, texts in _SAID.items() if any(text in plain for text in texts)), Fault.OTHER)


@dataclass(frozen=True, slots=True)
class Where:
    """What to look at, each as the middle of a sentence has it."""

    server: str
    """Whose certificate it is: `the brokers`."""
    authority: str
    """What names the file of the authority."""
    address: str
    """What names the server."""
    certificate: str
    """What names the certificate that this side shows."""
    protocol: str
    """What says whether TLS is spoken."""


def remedy(said: str, where: Where) -> str:
    """Return what to do about what a client says."""
    authority = f"let {where.authority} name the file with the authority that signed the certificate of {where.server}"
    address = f"let {where.address} have a name that the certificate of {where.server} carries"
    expired = f"renew the certificate of {where.server}, or put this machine's clock right"
    certificate = f"let {where.certificate} name a certificate that {where.server} accepts, which is not expired"
    protocol = f"let {where.protocol} say what is spoken at that port: TLS, or no TLS"
    match fault_of(said):
        case Fault.AUTHORITY:
            todo = authority
        case Fault.NAME:
            todo = address
        case Fault.EXPIRED:
            todo = expired
        case Fault.CLIENT:
            todo = certificate
        case Fault.PROTOCOL:
            todo = protocol
        case Fault.OTHER:
            todo = f"{authority}; {address}; {expired}; {protocol}"
    return f"{todo[0].upper()}{todo[1:]}."
