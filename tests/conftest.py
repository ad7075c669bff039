"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["tests.support.leftovers"]

# A slow machine is no failure; on a shared one the same examples are tried each time.
settings.register_profile("castiel", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("castiel")

