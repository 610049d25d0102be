"""Secrets that are in files: ENGAGEMENT_X_FILE names the file of ENGAGEMENT_X, for every setting that is secret.

Such a secret is what the file holds when somebody asks for it. So whoever connects next, or signs the next request, has
a secret that was replaced meanwhile, and nothing has to be started again.
"""

from pathlib import Path

from pydantic import BaseModel, SecretStr

from engagement_platform.domain.errors import SettingsError

_LARGEST_FILE = 4096
"""Bytes. A secret is shorter."""


class SecretFile(SecretStr):
    """The secret of a variable, in a file. It may change, and whoever may need the new one asks again.

    What was read last stays in force while the file is away or empty: it may just be written.
    """

    def __init__(self, variable: str, file: Path) -> None:
        super().__init__("")
        self.variable = variable
        self.file = file

    def get_secret_value(self) -> str:
        """Return what the file holds, without white space around it. Raises SettingsError, which repeats nothing of it.

        Raises it only where the file never could be read.
        """
        try:
            self._secret_value = self.read()
        except SettingsError:
            if not self._secret_value:
                raise
        return self._secret_value

    def read(self) -> str:
        """Return the same; raises SettingsError whenever the file cannot be read now."""
        try:
            with self.file.open("rb") as opened:
                content = opened.read(_LARGEST_FILE + 1)
            text = content.decode().strip()
        except (OSError, ValueError) as error:  # ValueError: it is not text
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise self._fault(f"cannot be read: {why}", f"See to {self.file}.") from None
        if len(content) > _LARGEST_FILE:
            raise self._fault("is too large", "It must hold the secret only.")
        if not text:
            raise self._fault("is empty", f"Fill {self.file}, or leave {self.variable}_FILE out.")
        return text

    def _fault(self, what: str, todo: str) -> SettingsError:
        return SettingsError(f"The file of {self.variable}_FILE {what}.", todo)

    def mark(self) -> object:
        """Return what is another one once the file was written again or replaced; this takes 2 µs and reads nothing."""
        try:
            status = self.file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def __bool__(self) -> bool:
        """Say that there is one, whatever the file holds."""
        return True

    def __len__(self) -> int:
        """Return the number of characters: the shortest length that a setting asks for is compared with it."""
        return len(self.get_secret_value())

    def __hash__(self) -> int:
        return hash((self.variable, self.file))

    def __eq__(self, other: object) -> bool:
        """Say whether it is the same file: what it holds is another one tomorrow."""
        return isinstance(other, SecretFile) and (self.variable, self.file) == (other.variable, other.file)

    def _display(self) -> str:
        return "**********"


def files_of(section: BaseModel) -> tuple[SecretFile, ...]:
    """Return the secrets of a section that are in files."""
    return tuple(
        value for name in type(section).model_fields if isinstance(value := getattr(section, name), SecretFile)
    )
