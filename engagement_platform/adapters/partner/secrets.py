"""The secrets for the partner: from the environment, or from files, which may change while the platform runs."""

from pathlib import Path

from pydantic import SecretStr

from engagement_platform.domain import signing
from engagement_platform.domain.disclosure import Disclosure, fields_of
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import STREAM, Api

_LARGEST_FILE = 4096
_MIN_HASH_KEY = 16


def secret(api: Api, field: str) -> str | None:
    """Return the secret of `field`, or what the file of `<field>_file` holds; None when neither is set.

    Raises SettingsError, which repeats nothing of it.
    """
    name = api.variable(field)
    given: SecretStr | None = getattr(api, field)
    file: Path | None = getattr(api, f"{field}_file")
    if given is not None and file is not None:
        raise SettingsError(f"Both {name} and {name}_FILE are set.", "Set one of them.")
    text = given.get_secret_value() if given is not None else None if file is None else _read(name, file)
    if text is not None and not text.strip():
        raise SettingsError(f"{name} or its file is empty.", "Fill it, or leave both out.")
    return None if text is None else text.strip()


def _read(name: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise SettingsError(f"The file of {name}_FILE is too large.", "It must hold the secret only.")
        return content.decode()
    except (OSError, ValueError) as error:  # ValueError: it is not text
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The file of {name}_FILE cannot be read: {why}.", f"See to {file}.") from None


def token(api: Api) -> str | None:
    """Return the bearer token. Raises SettingsError when it could not stand in a header."""
    token = secret(api, "token")
    if token is not None and not all("!" <= character <= "~" for character in token):
        raise SettingsError(
            f"{api.variable('token')} or its file holds what cannot stand in a header.",
            "A bearer token is one line of ASCII without spaces.",
        )
    return token


def signing_keys(api: Api) -> tuple[bytes, ...]:
    """Return the keys that sign requests; none when none is set. Raises SettingsError."""
    keys = secret(api, "signing_key")
    try:
        return () if keys is None else signing.secrets_of(keys)
    except ValueError as error:
        raise SettingsError(
            f"{api.variable('signing_key')} or its file cannot be used: {error}.",
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
