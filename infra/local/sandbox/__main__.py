"""`python -m infra.local.sandbox --data DIR --seed salesforce=Account:100,Contact:150`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from infra.local.process import announce, data_folder, run_server, server_parser
from infra.local.sandbox.app import SandboxServer, seed_if_empty


def seed_argument(text: str) -> tuple[str, dict[str, int]]:
    """`salesforce=Account:100,Contact:150` as the provider's name and the counts. Raises ArgumentTypeError."""
    name, _, entities = text.partition("=")
    try:
        pairs = [pair.split(":") for pair in entities.split(",")]
        return name, {entity: int(count) for entity, count in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PROVIDER=Entity:count,Entity:count") from None


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    server = SandboxServer(data_folder(options), options.host, options.port)
    await server.start()
    try:
        seed_if_empty(server.stages, dict(options.seed))
        announce("sandbox", server.port, url=server.url, providers=sorted(server.stages))
        await stopping.wait()
    finally:
        await server.stop()


def main() -> int:
    parser = server_parser("sandbox", "The providers' sandbox: Salesforce and others, locally.")
    parser.add_argument(
        "--seed",
        type=seed_argument,
        action="append",
        default=[],
        metavar="PROVIDER=Entity:N,…",
        help="sample records for a provider that has none yet; may be given once per provider",
    )
    return run_server(serve, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
