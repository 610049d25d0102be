"""A package index on loopback, of tiny wheels that tests write."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@dataclass(frozen=True)
class Release:
    """One wheel. `requires` are requirements, `extras` pairs of an extra and a requirement of it."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    build: str = ""

    def later(self, *, version: str = "", build: str = "") -> "Release":
        """Return the package as it was released again: another version, or another wheel of the same one."""
        return replace(self, version=version or self.version, build=build)

    @property
    def file_name(self) -> str:
        return "-".join(filter(None, (self.name, self.version, self.build, "py3", "none", "any"))) + ".whl"

    def write(self, folder: Path) -> Path:
        """Write the wheel; its one module knows version and build."""
        information = f"{self.name}-{self.version}.dist-info"
        metadata = [
            "Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}",
            *(f"Requires-Dist: {requirement}" for requirement in self.requires),
            *(f"Provides-Extra: {extra}" for extra, _ in self.extras),
            *(f'Requires-Dist: {requirement}; extra == "{extra}"' for extra, requirement in self.extras),
        ]  # fmt: skip
        files = {
            f"{self.name}.py": f"version, build = {self.version!r}, {self.build!r}\n",
            f"{information}/METADATA": "\n".join(metadata) + "\n",
            f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{information}/RECORD"])
        with zipfile.ZipFile(folder / self.file_name, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
        return folder / self.file_name


@dataclass(frozen=True)
class Index:
    """A folder that is served as an index at `url`."""

    folder: Path
    url: str

    def add(self, release: Release) -> str:
        """Publish a release; return its hash as a lock has it."""
        folder = self.folder / release.name.replace("_", "-")
        folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(release.write(folder).read_bytes()).hexdigest()
        with (folder / "index.html").open("a") as page:
            page.write(f'<a href="{release.file_name}#sha256={digest}">{release.file_name}</a>\n')
        return f"sha256:{digest}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[Index]:
    """Serve a folder as an index while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Index(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
