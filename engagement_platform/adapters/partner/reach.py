"""Looks whether the partner can be reached at all, without sending it anything."""

import socket
import ssl
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from engagement_platform.adapters.partner.client import Partner
from engagement_platform.domain.addresses import origin
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.settings import Api

_PORTS = {"http": 80, "https": 443}


def reach(api: Api) -> str:
    """Connect to the partner's host, or to the proxy, with TLS where it is used; return what answered.

    Raises SettingsError when a secret or the authority's file cannot be used, EngagementError when the certificate is
    not trusted, and Unavailable when nobody listens.
    """
    Partner(api).close()
    proxy = api.proxy.get_secret_value()
    address = urlsplit(proxy or api.url.get_secret_value())
    host, port = address.hostname or "", address.port or _PORTS[address.scheme]
    name = api.variable("proxy" if proxy else "url")
    try:
        with socket.create_connection((host, port), api.connect_timeout_seconds) as connection:
            if address.scheme == "https":
                trusted = ssl.create_default_context(cafile=str(api.ca_file or DEFAULT_CA_BUNDLE_PATH))
                trusted.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        raise EngagementError(
            f"The certificate of {host} is not trusted: {error.verify_message}.",
            f"Where its authority is not a public one, name its file in {api.variable('ca_file')}.",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"The partner's API does not answer: {host}, port {port}: {error.strerror or error}.",
            f"Check {name}, and the way out of this network. Events wait in Kafka meanwhile.",
        ) from None
    if proxy:
        return f"the proxy for the partner's API answers: {host}, port {port}"
    return f"the partner's API answers: {origin(api.url.get_secret_value())}"
