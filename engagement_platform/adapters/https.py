"""TLS of the sessions that post to others, the partner and the webhook. Certificates and names are verified."""

import logging
import socket
import ssl

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from engagement_platform.adapters import tls
from engagement_platform.settings import Alerting, Api

logging.getLogger("urllib3").setLevel(logging.INFO)
"""Below it, each request is logged with its path, which may hold a secret."""


def of_session(session: requests.Session, section: Api | Alerting) -> None:
    """Let a session trust and show what the files of a section hold. Raises SettingsError."""
    context_of(section)
    if section.ca_file is not None:
        session.verify = str(section.ca_file)
    if section.client_cert_file is not None:
        session.cert = str(section.client_cert_file)


def context_of(section: Api | Alerting) -> ssl.SSLContext:
    """Return what connections over HTTPS begin by. Raises SettingsError for a file that cannot be used."""
    made = ssl.create_default_context(cafile=None if section.ca_file else DEFAULT_CA_BUNDLE_PATH)
    if section.ca_file is not None:
        tls.trust(made, section, "ca_file")
    if section.client_cert_file is not None:
        tls.show(made, section, "client_cert_file")
    return made


def shake_hands(connection: socket.socket, host: str, section: Api | Alerting) -> None:
    """Begin TLS on a connection, and end it. Raises OSError; SettingsError for a file that cannot be used."""
    tls.shake_hands(context_of(section), connection, host)


SPEAKS = "it speaks TLS at this port"


def disagreement(error: BaseException) -> str | None:
    """Return in words why two sides do not agree on TLS; None for what is no such error, as a connection that broke."""
    if isinstance(error, urllib3.exceptions.SSLError) and error.args and isinstance(error.args[0], Exception):
        error = error.args[0]  # as it is raised while an answer is read
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    return f"TLS fails: {tls.why(error)}"
