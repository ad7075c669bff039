"""``python -m infra.local``: the local stack until Ctrl-C; ``--help`` tells all."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; a Ctrl-C while it is still being loaded is no error to show."""
    try:
        from infra.local.command import run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
