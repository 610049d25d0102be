"""Who runs a command, for the records of what was done."""

import getpass
import os
import socket


def who() -> str:
    """Return the user of the operating system and the machine, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
