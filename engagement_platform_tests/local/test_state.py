import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import stack, state


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    return state.choose_port(None, None)


def test_the_remembered_port_comes_first(free: int, taken: int) -> None:
    assert state.choose_port(free, taken) == free


def test_the_usual_port_comes_when_the_remembered_one_is_taken(free: int, taken: int) -> None:
    assert state.choose_port(taken, free) == free


def test_any_port_comes_when_both_are_taken(taken: int) -> None:
    port = state.choose_port(taken, taken)

    assert port != taken
    assert state.is_free(port)


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    known = state.load(tmp_path / "new")
    known.ports["kafka"] = 9092
    password = known.password("kafka")
    known.durable = False
    known.save()

    assert state.load(tmp_path / "new") == known
    assert state.load(tmp_path / "new").password("kafka") == password


def test_passwords_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    state.StackState(tmp_path).save()

    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layout": 99}'])
def test_a_folder_of_another_version_is_refused_and_can_be_deleted(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    (folder / "stack.json").write_text(text)

    with pytest.raises(EngagementError, match="another version") as error:
        stack.up(folder)
    assert "reset" in error.value.todo

    stack.reset(folder)
    assert not folder.exists()


def test_a_folder_that_is_no_stack_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(EngagementError, match="not deleted"):
        stack.reset(tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("below", ["", "work/here"])
def test_a_folder_around_the_present_one_is_never_deleted(
    tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.StackState(tmp_path).save()
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / below)

    with pytest.raises(EngagementError, match="not deleted"):
        stack.reset(tmp_path)

    assert (tmp_path / "stack.json").exists()


def test_deleting_what_does_not_exist_is_no_error(tmp_path: Path) -> None:
    stack.reset(tmp_path / "nothing")
    stack.down(tmp_path / "nothing")

    assert not (tmp_path / "nothing").exists()


def test_the_folder_elsewhere_is_remembered_and_deleted_with_the_rest(tmp_path: Path) -> None:
    known = state.StackState(tmp_path / "stack")

    outside = known.make_outside()

    assert state.load(tmp_path / "stack").make_outside() == outside
    state.load_to_delete(tmp_path / "stack").delete()
    assert not outside.exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EngagementError, match="Not a directory"):
        stack.up(tmp_path / "file" / "stack")


def test_a_second_up_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    hold = (
        "import sys, pathlib; from engagement_platform.local import state\n"
        "with state.exclusive(pathlib.Path(sys.argv[1]), 'up'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        with pytest.raises(EngagementError, match=f"pid {holder.pid}"):
            stack.up(tmp_path)
        holder.kill()

    with state.exclusive(tmp_path, "up"):  # a dead process leaves no lock
        pass


def test_the_environment_file_is_private_and_survives_the_shell(tmp_path: Path) -> None:
    awkward = "postgresql://u:p'a$s\"s w@h/db"

    file = stack.write_environment({"ENGAGEMENT_SOURCE_DSN": awkward}, tmp_path)

    read = "import json, os; print(json.dumps(os.environ['ENGAGEMENT_SOURCE_DSN']))"
    command = ["sh", "-c", 'set -a; . "$0"; "$1" -c "$2"', str(file), sys.executable, read]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout) == awkward
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_outgoing_connection_takes_a_port_that_was_chosen_while_its_server_is_down() -> None:
    first = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(first.read_text().split()[0]) if first.exists() else 49_152
    assert all(state.choose_port(None, None) < lowest for _ in range(50))
