"""The secrets for the partner: from the environment, or from files, which may change while the platform runs."""

from pydantic import SecretStr

from engagement_platform.domain import signing
from engagement_platform.domain.disclosure import Disclosure, fields_of
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import STREAM, Api
from engagement_platform.settings.section import Section

_MIN_HASH_KEY = 16


def secret(section: Section, field: str) -> str | None:
    """Return the secret of `field` as it is now; None when none is set. Raises SettingsError, which repeats nothing."""
    given: SecretStr | None = getattr(section, field)
    text = None if given is None else given.get_secret_value().strip()
    if text == "":
        raise SettingsError(f"{section.variable(field)} is empty.", "Fill it, or leave it out.")
    return text


def token(api: Api) -> str | None:
    """Return the bearer token. Raises SettingsError when it could not stand in a header."""
    token = secret(api, "token")
    if token is not None and not all("!" <= character <= "~" for character in token):
        raise SettingsError(
            f"{api.variable('token')} or its file holds what cannot stand in a header.",
            "A bearer token is one line of ASCII without spaces.",
        )
    return token


def signing_keys(section: Section) -> tuple[bytes, ...]:
    """Return the keys that sign requests; none when none is set. Raises SettingsError."""
    keys = secret(section, "signing_key")
    try:
        return () if keys is None else signing.secrets_of(keys)
    except ValueError as error:
        raise SettingsError(
            f"{section.variable('signing_key')} or its file cannot be used: {error}.",
            "Make one with: python3 -c 'import base64, secrets; "
            'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\'',
        ) from None


def disclosure(
    api: Api, columns: tuple[str, ...] | None = None, user: str | None = "user_id", stream: str = STREAM
) -> Disclosure:
    """Return what the partner may see of a stream's messages with these columns, of which `user` names a person.

    Columns that nobody knows yet are None: then the fields that are named are not looked at. Raises SettingsError.
    """
    key = secret(api, "hash_key") or ""
    if api.user_id == "hash" and len(key) < _MIN_HASH_KEY:
        raise SettingsError(
            f"{api.variable('user_id')}=hash needs {api.variable('hash_key')} or its file, of at least "
            f"{_MIN_HASH_KEY} characters: whoever can guess it can tell the users.",
            "Make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'",
        )
    try:
        fields = None if columns is None else fields_of(api.fields, columns)
    except ValueError as error:
        raise SettingsError(f"{api.variable('fields')}: {error}.", "Name fields with commas between.") from None
    if api.user_id != "keep" and user is None:
        raise SettingsError(
            f"{api.variable('user_id')} is {api.user_id}, and the stream {stream} has no column that names a person.",
            "Name it in its stream.toml (user, below [warehouse]), or leave the setting out.",
        )
    return Disclosure(stream, fields, user, api.user_id, key.encode())
