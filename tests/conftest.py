"""What holds for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.log_watch import LogWatch

pytest_plugins = ["tests.support.leftovers"]

# A slow machine is no failure; on a shared one the same examples are tried each time.
settings.register_profile("castiel", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("castiel")


_WATCH = LogWatch()


@pytest.fixture(autouse=True)
def nothing_secret_is_logged() -> Iterator[None]:
    """No line of any test, whatever its level, holds a token as the providers' sandbox issues them."""
    yield
    found, _WATCH.leaks = _WATCH.leaks, []
    assert found == [], "tokens in the log, as logger: first characters"


def pytest_configure() -> None:
    """The watch sees Castiel's lines from DEBUG on, and the libraries' from WARNING on."""
    logging.getLogger().addHandler(_WATCH)
    logging.getLogger("castiel").setLevel(logging.DEBUG)
