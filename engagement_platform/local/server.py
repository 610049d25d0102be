"""What the servers of the local stack have in common."""

import signal
from typing import ClassVar

from engagement_platform.local.state import StackState


class Server:
    """One server of the stack, on loopback."""

    name: ClassVar[str]
    """What it and the port for its clients are called in the state folder."""
    ports: ClassVar[tuple[str, ...]]
    """The names of its ports in the state folder."""
    stop_signal: ClassVar[int] = signal.SIGTERM
    """The signal that ends it without loss."""
    _patience: ClassVar[float] = 30

    def __init__(self, state: StackState) -> None:
        self._state = state
        self.daemon = state.daemon(self.name)

    def start(self) -> None:
        """Start unless it runs; return when it, and no other one on its port, answers. Raises EngagementError."""
        if not self.daemon.is_running:
            self._spawn()
        self.daemon.wait_until(lambda: self.daemon.listens_on(self._port) and self._answers(), self._patience)

    @property
    def _port(self) -> int:
        return self._state.ports[self.name]

    def _spawn(self) -> None:
        raise NotImplementedError

    def _answers(self) -> bool:
        """Say whether it does what it is for, by now; one that listens does."""
        return True
