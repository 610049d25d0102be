"""Makes the project's image without Docker, as an archive that a container runtime imports.

The Dockerfile says what is installed and how a container starts; what stands in for its base is this machine's own
interpreter with the libraries that it needs. Three layers: that base, the locked packages, the package itself. The
first two are kept in the cache, as long as neither the lock nor the Dockerfile changes.
"""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from engagement_platform_tests.docker.files import REPOSITORY, image, json_list, stages

USER = 10001
PREFIX = "/opt/engagement"
LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
_PROGRAMS = ("sh", "env", "cat", "sed", "ls", "sleep", "id", "tr", "kill")
_LIBRARIES = (
    "libstdc++.so.6", "libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libm.so.6", "libz.so.1", "librt.so.1",
    "libdl.so.2", "libpthread.so.0", "libresolv.so.2", "libutil.so.1",
)  # fmt: skip
"""That packages load."""
_LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "lib2to3", "config-*")
_LOADED_FROM = "/usr/local/lib\n/usr/lib/x86_64-linux-gnu\n"
_PASSWD = f"root:x:0:0::/root:/bin/sh\nengagement:x:{USER}:{USER}::/var/lib/engagement:/usr/sbin/nologin\n"

Fill = Callable[[Path], None]


def project_images(cache: Path, sources: Mapping[str, Path]) -> Path:
    """Return an archive with the images of checkouts, by their names. Their packages are those of the lock here."""
    shared = [
        _layer(cache, "base", _digest(sys.version, _PROGRAMS, _LIBRARIES, _LOADED_FROM), _base),
        _layer(cache, "packages", _digest(_image_lock(), _trimming(), sys.version), _packages(cache)),
    ]
    stage = image()
    configuration = {
        "Env": ["LANG=C.UTF-8", *(f"{name}={value}" for name, value in stage.environment.items())],
        "Entrypoint": json_list(stage.last("ENTRYPOINT")),
        "Cmd": json_list(stage.last("CMD")),
        "User": stage.last("USER"),
        "WorkingDir": stage.last("WORKDIR"),
    }
    for stale in set(cache.glob("package-*.tar")) - {_package_layer(cache, source) for source in sources.values()}:
        stale.unlink()
    images = {name: [*shared, _package_layer(cache, source)] for name, source in sources.items()}
    return _archive(cache / "project.tar", images, configuration)


def _package_layer(cache: Path, source: Path) -> Path:
    return _layer(cache, "package", _digest(*_texts(source)), lambda root: _package(source, root))


def pause_image(cache: Path) -> Path:
    """Return an archive with the program that holds the namespaces of a pod."""
    program = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int s) { _exit(0); }
static void reap(int s) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
"""

    def compiled(root: Path) -> None:
        subprocess.run(
            ["gcc", "-Os", "-static", "-o", str(root / "pause"), "-x", "c", "-"], input=program.encode(), check=True
        )

    layers = [_layer(cache, "pause", _digest(program), compiled)]
    return _archive(cache / "pause.tar", {"docker.io/local/pause:1": layers}, {"Entrypoint": ["/pause"]})


def _archive(archive: Path, images: Mapping[str, Sequence[Path]], configuration: Mapping[str, object]) -> Path:
    """Write images with the same configuration, from the lowest layer up. A layer that they share is there once."""
    texts: dict[str, str] = {}
    entries = []
    for number, (name, layers) in enumerate(images.items()):
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{layer.stem.rpartition('-')[2]}" for layer in layers]}
        described = {"architecture": "amd64", "os": "linux", "config": configuration, "rootfs": rootfs}
        file = f"config-{number}.json"
        texts[file] = json.dumps(described)
        entries.append({"Config": file, "RepoTags": [name], "Layers": [f"{one.stem}/layer.tar" for one in layers]})
    texts["manifest.json"] = json.dumps(entries)
    with tarfile.open(archive, "w") as tar:
        for path, text in texts.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for layer in dict.fromkeys(layer for layers in images.values() for layer in layers):
            tar.add(layer, f"{layer.stem}/layer.tar")
    return archive


def _layer(cache: Path, name: str, key: str, fill: Fill) -> Path:
    """Return the tar of a layer, named after its content, made where it is not in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    if made := next(cache.glob(f"{name}-{key}-*.tar"), None):
        return made
    for old in cache.glob(f"{name}-*.tar"):
        if name != "package":  # there are two of them: of this version, and of the one before
            old.unlink()
    with TemporaryDirectory(dir=cache) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        fill(root)
        written = Path(folder) / "layer.tar"
        with tarfile.open(written, "w") as tar:
            for path in sorted(root.rglob("*")):
                tar.add(path, str(path.relative_to(root)), recursive=False, filter=_owned)
        with written.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return written.rename(cache / f"{name}-{key}-{digest}.tar")


def _owned(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give everything to root, but for the folder of the state."""
    info.uid = info.gid = USER if info.name.startswith("var/lib/engagement") else 0
    info.uname = info.gname = ""
    return info


def _digest(*texts: object) -> str:
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


def _base(root: Path) -> None:
    """Put the interpreter at /usr/local, a shell and a few programs beside it, with all that they load."""
    real = Path(sys.base_prefix)
    for folder in ("usr/bin", "usr/local/bin", "etc/ssl/certs", "tmp", "proc", "dev", "sys", "root", "run", "var/lib"):
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(f"root:x:0:\nengagement:x:{USER}:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    shutil.copytree(real / LIBRARY, root / "usr/local" / LIBRARY, ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.a"))
    python = real / "bin" / Path(LIBRARY).name
    shutil.copy(python, root / "usr/local/bin")
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to(python.name)
    programs = [Path(shutil.which(name) or name).resolve() for name in _PROGRAMS if shutil.which(name)]
    for name, program in zip(_PROGRAMS, programs, strict=True):
        shutil.copy(program, root / "usr/bin" / name)
    found = [python, *programs, *(real / LIBRARY / "lib-dynload").glob("*.so"), *_system_libraries(_LIBRARIES)]
    for library in sorted({one for program in found for one in _loaded(program)} | set(_system_libraries(_LIBRARIES))):
        target = root / library.relative_to("/")
        if library.parts[1] in ("lib", "lib64"):  # links to /usr on this machine
            target = root / "usr" / library.relative_to("/")
        if str(real) in str(library):
            target = root / "usr/local/lib" / library.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    for name in ("lib", "lib64"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
    shutil.copytree("/usr/share/zoneinfo", root / "usr/share/zoneinfo", symlinks=True)
    (root / "tmp").chmod(0o1777)
    (root / "var/lib/engagement").mkdir()
    (root / "etc/engagement").mkdir()
    (root / "etc/ld.so.conf").write_text(_LOADED_FROM)
    subprocess.run(["ldconfig", "-r", str(root)], check=True)


def _loaded(program: Path) -> Iterator[Path]:
    """Yield what the loader loads for a program or library, the loader itself included."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for match in re.finditer(r"(?:=> )?(/\S+) \(0x", told):
        yield Path(match[1])


def _system_libraries(names: Iterable[str]) -> list[Path]:
    told = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return [Path(match[1]) for name in names if (match := re.search(rf"{re.escape(name)} .*=> (\S+)", told))]


def _image_lock() -> str:
    """Return what the Dockerfile installs, chosen from the lock by the Dockerfile's own command."""
    chosen = re.search(r"python locked\.py (.+) > image\.lock", (REPOSITORY / "docker/Dockerfile").read_text())
    assert chosen, "the Dockerfile chooses from the lock"
    command = [sys.executable, "docker/locked.py", *chosen[1].split()]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def _trimming() -> str:
    """Return the Dockerfile's command that leaves out what no program of ours opens."""
    return next(text for stage in stages() for keyword, text in stage.instructions if text.startswith("find . -type d"))


def _packages(cache: Path) -> Fill:
    def fill(root: Path) -> None:
        target = root / PREFIX.lstrip("/")
        lock = cache / "image.lock"
        lock.write_text(_image_lock())
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(target)], check=True)
        uv = [str(Path(sys.prefix) / "bin/uv"), "pip", "install", "--quiet", "--python", str(target / "bin/python")]
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
        subprocess.run([*uv, *options, "--compile-bytecode", "-r", str(lock)], check=True)
        for name in ("python", "python3", Path(LIBRARY).name):
            (target / "bin" / name).unlink(missing_ok=True)
            (target / "bin" / name).symlink_to(f"/usr/local/bin/{Path(LIBRARY).name}")
        subprocess.run(["sh", "-c", _trimming()], cwd=target / LIBRARY / "site-packages", check=True)
        (target / "pyvenv.cfg").write_text("home = /usr/local/bin\ninclude-system-site-packages = false\n")
        _readdress(target)

    return fill


def _readdress(target: Path) -> None:
    """Let scripts name the interpreter where it will be."""
    for script in (target / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_bytes()
            script.write_bytes(text.replace(str(target).encode(), PREFIX.encode()))


def _texts(source: Path) -> Iterator[str]:
    """Yield what the package is made of."""
    files = [source / "dagster.yaml", source / "pyproject.toml", *_scripts(source)]
    for path in [*files, *sorted((source / "engagement_platform").rglob("*"))]:
        if path.is_file() and "__pycache__" not in path.parts:
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def _scripts(source: Path) -> list[Path]:
    """Return the programs of the image that are no package's."""
    return [source / "docker" / name for name in ("entry.sh", "healthy.py")]


def _package(source: Path, root: Path) -> None:
    target = root / PREFIX.lstrip("/")
    wheels = root / "wheels"
    python = sys.executable
    command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(wheels), str(source)], check=True)
    site = target / LIBRARY / "site-packages"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(site),
         *map(str, wheels.iterdir())],
        check=True,
    )  # fmt: skip
    shutil.rmtree(wheels)
    shutil.rmtree(site / "bin", ignore_errors=True)
    subprocess.run([python, "-m", "compileall", "-q", str(site)], check=True)
    programs = root / "usr/local/bin"
    programs.mkdir(parents=True)
    for each in _scripts(source):
        shutil.copy(each, programs)
        (programs / each.name).chmod(0o755)
    script = target / "bin/engagement-platform"
    script.parent.mkdir()
    script.write_text(
        f"#!{PREFIX}/bin/python\nimport sys\nfrom engagement_platform.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
