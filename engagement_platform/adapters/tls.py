"""TLS as the settings say it: files of authorities, certificates and keys; and what a server speaks that ends calls.

Certificates and names are always verified.
"""

import socket
import ssl
from contextlib import nullcontext, suppress
from pathlib import Path

from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Kafka, Redis
from engagement_platform.settings.section import Section

_SECONDS = 0.5
"""For an answer of a server that was just there."""
_OBJECTION_SECONDS = 0.2


def context(section: Kafka | Redis) -> ssl.SSLContext:
    """Return what connections with a server begin by. Raises SettingsError for a file that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    trust(made, section, "ssl_cafile")
    if section.ssl_certfile is not None:
        password = section.ssl_key_password.get_secret_value() if section.ssl_key_password else ""
        show(made, section, "ssl_certfile", section.ssl_keyfile, password)
    elif section.ssl_keyfile is not None:
        raise SettingsError(
            f"{section.variable('ssl_keyfile')} is set, and {section.variable('ssl_certfile')} is not.",
            "Let it name the certificate of that key, or leave both out.",
        )
    return made


def trust(made: ssl.SSLContext, section: Section, field: str) -> None:
    """Trust the authorities in a field's file; those of this machine where none is named. Raises SettingsError."""
    file: Path | None = getattr(section, field)
    if file is None:
        made.load_default_certs()
        return
    try:
        made.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The file of {section.variable(field)} cannot be used: {why(error)}.",
            f"{file} must hold certificates of authorities as PEM, and be readable.",
        ) from None


def show(made: ssl.SSLContext, section: Section, field: str, keyfile: Path | None = None, password: str = "") -> None:
    """Show the certificate in a field's file to servers that ask for one. Raises SettingsError."""
    file: Path = getattr(section, field)
    try:
        # Without a password the library would ask for one at the terminal.
        made.load_cert_chain(file, keyfile, lambda: password)
    except (OSError, ssl.SSLError) as error:
        beside = f" with the key in {keyfile}" if keyfile else ", with the key beside it,"
        raise SettingsError(
            f"The file of {section.variable(field)} cannot be used as a certificate: {why(error)}.",
            f"{file}{beside} must be readable and PEM, and the password must be that of the key where it is encrypted.",
        ) from None


def why(error: OSError) -> str:
    """Return what an error of TLS or of a file says, in small letters."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM, or the password is not the key's").replace("_", " ").lower()
    return error.strerror or type(error).__name__


def is_spoken(host: str, port: int) -> bool:
    """Say whether a server speaks TLS. It is asked, and nothing is verified, sent or believed beyond that."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            unverified.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # of a server that wants more than this
    except OSError:
        return False
    return True


def objection(made: ssl.SSLContext, host: str, port: int) -> str | None:
    """Return why a server and this side do not agree, by a handshake of our own; None where they do, or nobody answers.

    Clients often know less: that a connection ended, or that a certificate could not be verified.
    """
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            shake_hands(made, connection, host)
    except ssl.SSLCertVerificationError as error:
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    except ssl.SSLError as error:
        return None if isinstance(error, ssl.SSLEOFError) else why(error)
    except OSError:
        return None
    return None


def shake_hands(made: ssl.SSLContext, connection: socket.socket, host: str) -> None:
    """Begin TLS on a connection, and end it. Raises OSError.

    A server that wants a certificate says so after the handshake, if at all: it is heard for a moment.
    """
    with made.wrap_socket(connection, server_hostname=host) as begun:
        begun.settimeout(_OBJECTION_SECONDS)
        with suppress(TimeoutError):
            begun.recv(1)


def answers_in_plain(host: str, port: int, request: bytes) -> bool:
    """Say whether a server answers a request without TLS with anything but what TLS begins with."""
    return answer(host, port, request, 1) not in (b"", b"\x15", b"\x16")


def answer(host: str, port: int, request: bytes, size: int, made: ssl.SSLContext | None = None) -> bytes:
    """Return the first bytes of what a server answers to a request, over TLS where there is a context.

    Fewer than `size` where it says no more, or ends the connection.
    """
    said = b""
    with (
        suppress(OSError),
        socket.create_connection((host, port), _SECONDS) as plain,
        made.wrap_socket(plain, server_hostname=host) if made else nullcontext(plain) as connection,
    ):
        connection.settimeout(_SECONDS)
        connection.sendall(request)
        while len(said) < size and (more := connection.recv(size - len(said))):
            said += more
    return said
