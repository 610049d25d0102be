"""Does by hand what Docker's engine would do, where there is none: builds the image in a folder and runs containers.

An image is an overlay over this machine's own files, in which the interpreter of the tests stands in for the image of
Python. A container is a process in it with mounts of its own, under the user of the compose file, without capabilities,
its root read-only but for its volumes and tmpfs. What differs from Docker: no limits, and one network for all.

Needs root, unshare and overlayfs; `is_possible` says whether they are there.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from engagement_platform_tests.docker.files import BASE_PATH, REPOSITORY, Service, Stage, image, stages

OWN_WORLD = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
)  # fmt: skip
"""Starts a program whose mounts nobody else sees, and which ends with all its children when we do."""

_TOOLS = ("setpriv", "unshare", "mount", "chroot", "groupadd", "useradd", "install")
_PREFIX = "/opt/engagement"
_INTERPRETER = Path(sys.executable).resolve()


def is_possible() -> bool:
    """Say whether this machine lets us: who we are, its tools, and a mount where the image will be."""
    if os.geteuid() != 0 or not all(map(shutil.which, _TOOLS)):
        return False
    with tempfile.TemporaryDirectory() as folder:
        script = f"cd {folder}; mkdir u w r; mount -t overlay o r -o {_layers(folder)}"
        command = [*OWN_WORLD, "--net", "sh", "-euc", script]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _layers(folder: str | Path) -> str:
    return f"lowerdir=/,upperdir={folder}/u,workdir={folder}/w"


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Mount the image of a folder, an empty one at first, and give its root."""
    for name in ("u", "w", "r"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    root = folder / "r"
    _run("mount", "-t", "overlay", "overlay", str(root), "-o", _layers(folder))
    try:
        yield root
    finally:
        _run("umount", "--recursive", str(root))


def build(folder: Path, *, installed: bool) -> None:
    """Run the Dockerfile into a folder. With `installed` this environment's packages stand in for the first stages."""
    for stage in stages():
        if stage.instructions and not (installed and stage is not image()):
            with mounted(folder / stage.name) as root:
                _forget_users(root)
                _stand_in_for_python(root)
                _build(stage, root, folder, installed=installed)


def _forget_users(root: Path) -> None:
    """Leave the users that every image has: one that only this machine has could hide that the image lacks it."""
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
    (etc / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for secrets in ("shadow", "gshadow"):
        (etc / secrets).unlink(missing_ok=True)


def _stand_in_for_python(root: Path) -> None:
    """Put this interpreter where the image of Python has its own, reachable by everybody."""
    for parent in _INTERPRETER.parents:
        place = root / parent.relative_to("/")
        place.chmod(place.stat().st_mode | 0o005)
    local = root / "usr/local"
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    stand_ins = {local / library: Path(sys.base_prefix) / library, local / "bin/pip": _INTERPRETER.with_name("pip")}
    stand_ins |= dict.fromkeys((local / "bin/python", local / "bin/python3"), _INTERPRETER)
    for place, origin in stand_ins.items():
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(origin)


def _build(stage: Stage, root: Path, folder: Path, *, installed: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment["PATH"] = BASE_PATH
    where = "/"
    for keyword, arguments in stage.instructions:
        match keyword:
            case "WORKDIR":
                where = arguments
                _inside(root, where).mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(shlex.split(arguments), root, where, folder, installed=installed)
            case "RUN":
                script = f"cd {where} && {arguments}"
                command = ["sh", "-c", _seen_as_image(root, f"exec chroot {root} sh -c {shlex.quote(script)}")]
                _run("unshare", "--mount", *command, environment=environment)
            case "ENV" | "USER" | "EXPOSE" | "ENTRYPOINT" | "CMD" | "HEALTHCHECK":
                pass  # of the run time
            case _:
                raise AssertionError(f"an instruction that is not understood here: {keyword}")


def _seen_as_image(root: Path, then: str) -> str:
    """Hide what no image has: the checkout with its environment."""
    return (
        f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev"
        f" && mount -t tmpfs -o mode=0755 tmpfs {root}{REPOSITORY} && {then}"
    )


def _copy(words: list[str], root: Path, where: str, folder: Path, *, installed: bool) -> None:
    options = dict(word[2:].split("=") for word in words if word.startswith("--"))
    *sources, target = (word for word in words if not word.startswith("--"))
    to = _inside(root, os.path.join(where, target))  # noqa: PTH118 - an absolute target stays one
    if target.endswith("/"):
        to.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if "from" not in options:
            _check_is_sent(source)
            origin = REPOSITORY / source
        elif installed:
            to.symlink_to(sys.prefix)
            continue
        else:
            origin = folder / options["from"] / "u" / source.lstrip("/")
        _copy_one(origin, to / Path(source).name if target.endswith("/") else to, options.get("chmod"))


def _copy_one(origin: Path, to: Path, mode: str | None) -> None:
    if origin.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc") if REPOSITORY in origin.parents else None
        shutil.copytree(origin, to, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        return
    shutil.copy(origin, to)
    to.chmod(int(mode, 8) if mode else 0o644)


def _check_is_sent(source: str) -> None:
    """Fail when .dockerignore keeps a file from the builder."""
    patterns = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch(source, pattern) for pattern in patterns), f"{source} is left out by .dockerignore"


def _inside(root: Path, path: str) -> Path:
    """Return where a path of the image is, with links as the image sees them."""
    place = root
    for part in Path(os.path.normpath(path)).parts[1:]:
        place = place / part
        if place.is_symlink():
            target = os.path.normpath(place.parent / place.readlink())
            place = Path(target) if target.startswith(f"{root}/") else _inside(root, str(place.readlink()))
    return place


def container(
    root: Path, service: Service, volumes: Path, argv: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """Return the command that runs `argv` as a container of a service; volumes are folders of their names."""
    lines = [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
    uses_checkout = (root / _PREFIX.lstrip("/")).is_symlink()
    if service.is_ours and not uses_checkout:
        lines.append(f"mount -t tmpfs -o mode=0755 tmpfs {root}{REPOSITORY}")
    for source, target, writable in service.mounts:
        origin = (REPOSITORY / "docker" / source).resolve() if source.startswith(".") else volumes / source
        lines += _bind(origin, _inside(root, target), writable=writable)
    lines += [
        f"mount -t tmpfs -o noexec,nosuid,nodev,{options} tmpfs {_inside(root, target)}"
        for target, options in service.tmpfs.items()
    ]
    if service.is_ours and uses_checkout:  # which may lie beneath a tmpfs
        lines += [f"mkdir -p {root}{REPOSITORY}", *_bind(REPOSITORY, Path(f"{root}{REPOSITORY}"), writable=False)]
    lines.append(f"mount -o remount,bind,ro {root}")
    user, group = service.user
    groups = ",".join([str(group), *service.raw.get("group_add", [])])
    words = [
        "chroot", str(root), "setpriv", f"--reuid={user}", f"--regid={group}", f"--groups={groups}",
        "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "env", "-i", "-C", _home(service),
        *(f"{key}={value}" for key, value in environment.items()), *argv,
    ]  # fmt: skip
    return ["unshare", "--mount", "sh", "-euc", "\n".join([*lines, "exec " + shlex.join(words)])]


def _home(service: Service) -> str:
    return image().last("WORKDIR") if service.is_ours else "/tmp"


def _bind(origin: Path, target: Path, *, writable: bool) -> list[str]:
    lines = [f"mount --bind {origin} {target}"]
    return lines if writable else [*lines, f"mount -o remount,bind,ro {target}"]


def prepare(root: Path, found: Mapping[str, Service], volumes: Path) -> None:
    """Make what the engine makes before it starts containers: mount points, volumes with their owners, names."""
    for service in found.values():
        for source, target, _ in service.mounts:
            place = _inside(root, target)
            if source.startswith("."):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
                continue
            place.mkdir(parents=True, exist_ok=True)
            if not (volumes / source).exists():
                if not service.is_ours:
                    os.chown(place, *service.user)  # as the images of others have it
                volumes.mkdir(parents=True, exist_ok=True)
                _run("cp", "--archive", str(place), str(volumes / source))
        for target in service.tmpfs:
            _inside(root, target).mkdir(parents=True, exist_ok=True)
    names = [*found, "code"]
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {' '.join(names)}\n")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)[-600:]}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
