"""A pytest plugin: what a test leaves open is told of its own file, and not in the middle of a stranger's test.

A connection without a closer warns when it is collected, and that may be many files later. So each file ends with a
collection, after its last test has let go of everything. The marker ``leaves_connections`` is for tests that kill
Service Bus under the SDK, which then leaves its socket to the collector:
https://github.com/Azure/azure-sdk-for-python/issues/46830
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator, Sequence

import pytest

MARKER = "leaves_connections"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """What is collected while a marked test runs is no failure of it."""
    for item in items:
        if item.get_closest_marker(MARKER):
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, bool, bool]:
    """After a marked test, and after the last test of a file, everything that nobody holds is collected."""
    done = yield
    marked = item.get_closest_marker(MARKER) is not None
    if marked or nextitem is None or nextitem.path != item.path:
        found = _collect()
        if found and not marked:
            item.ihook.pytest_runtest_logreport(report=_report(item, found))
    return done


def _collect() -> list[str]:
    """What went wrong while the garbage was collected."""
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda event: found.append(f"{event.exc_value!r} in {event.object!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()
    finally:
        sys.unraisablehook = before
    return found


def _report(item: pytest.Item, found: list[str]) -> pytest.TestReport:
    text = "\n".join([f"{item.path.name}: left open and collected after its last test:", *found])
    return pytest.TestReport(
        item.nodeid, item.location, {}, "failed", text, "teardown", duration=0.0, start=0.0, stop=0.0
    )
