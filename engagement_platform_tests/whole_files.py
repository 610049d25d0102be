"""Lets each process of a session import only the files of tests that it runs.

Each process of pytest-xdist imports everything, to tell which tests there are: 25 seconds of a processor each in a new
clone. Where whole files are given to processes, and all of their tests are to run, the names of the files suffice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest


def suffice(config: pytest.Config) -> bool:
    """Return whether a session gives whole files to its processes, and leaves no test of them out."""
    option = config.option
    leaves_out = option.keyword or option.markexpr or option.deselect or option.lf or option.failedfirst
    return option.dist == "loadfile" and not leaves_out and not any("::" in argument for argument in config.args)


class WholeFile(pytest.Item):
    """Stands for the tests of a file until they are to run."""

    def run(self, nextitem: pytest.Item | None) -> None:
        """Import the file and run its tests, with what happens around each of any test."""
        assert self.parent is not None
        tests = list(self.session.genitems(pytest.Module.from_parent(self.parent, path=self.path)))
        self.session._collection_cache = {}
        self.ihook.pytest_collection_modifyitems(session=self.session, config=self.config, items=tests)
        if not tests:  # the file skips itself, and what ran before it was ended as far as this one does not share it
            self.session._setupstate.teardown_exact(nextitem)
        for test, following in pairwise([*tests, nextitem]):
            assert test is not None
            with self._replaced_by(test):
                test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
            if self.session.shouldfail or self.session.shouldstop:
                break

    @contextmanager
    def _replaced_by(self, test: pytest.Item) -> Iterator[None]:
        """Let xdist take reports of a test for those of what was given to the process."""
        place = self.session.items.index(self)
        self.session.items[place] = test
        try:
            yield
        finally:
            self.session.items[place] = self

    def runtest(self) -> None:
        raise NotImplementedError("its tests run in its place")


class WholeFiles:
    """The plugin for such a process."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> WholeFile:
        nodeid = module_path.relative_to(parent.config.rootpath).as_posix()
        file = WholeFile.from_parent(parent, name=module_path.name, nodeid=nodeid, path=module_path)
        file.add_marker(pytest.mark.timeout(0))  # that of each test is what counts
        return file

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, WholeFile):
            return None
        item.run(nextitem)
        return True
