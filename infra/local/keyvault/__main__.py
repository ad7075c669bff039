"""``python -m infra.local.keyvault``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from infra.local.keyvault.app import make_app
from infra.local.keyvault.store import Store
from infra.local.process import data_folder, run_server, server_parser
from infra.local.tls import ensure_certificate, server_context
from infra.local.web import serve_app


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Serve the vault over HTTPS; the certificate to trust is in the ready line."""
    folder = data_folder(options)
    with tempfile.TemporaryDirectory(prefix="castiel-keyvault-") as scratch:
        certificates = folder or Path(scratch)
        certificate = ensure_certificate(certificates)
        store = Store(folder)
        try:
            await serve_app(
                make_app(store, options.token),
                "keyvault",
                options,
                stopping,
                tls=server_context(certificates),
                certificate=str(certificate),
                token=options.token,
            )
        finally:
            store.close()


def main() -> int:
    """Parse the arguments and serve."""
    parser = server_parser("keyvault", "Azure Key Vault's secrets API on this machine, over HTTPS.")
    parser.add_argument(
        "--token", default="local", help="the bearer token that is let in (default: %(default)s)"
    )
    return run_server(serve, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
