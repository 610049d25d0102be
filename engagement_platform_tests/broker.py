"""One Kafka for all processes of a session: each would warm up by itself, and idle it takes 3 % of a processor."""

import fcntl
from pathlib import Path

from engagement_platform.local import state
from engagement_platform.local.kafka import USUAL_PORTS, Kafka


def join(folder: Path, stack_folder: Path) -> None:
    """Let a stack that is not started yet have the Kafka of `folder`, which the first that comes starts."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared = state.load(folder)
        if not shared.ports:
            shared.ports = {name: state.choose_port(None, None) for name in USUAL_PORTS}
            shared.save()
        Kafka(shared).start()
    stack = state.load(stack_folder)
    stack.ports |= shared.ports
    stack.save()
    noted = stack.daemon(Kafka.name).pid_file
    noted.parent.mkdir()
    noted.write_bytes(shared.daemon(Kafka.name).pid_file.read_bytes())


def leave(stack_folder: Path) -> None:
    """Let that Kafka outlast the stack."""
    state.load(stack_folder).daemon(Kafka.name).pid_file.unlink(missing_ok=True)
