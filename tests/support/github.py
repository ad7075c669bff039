"""A sandboxed GitHub for tests: plain HTTP with a valid token, and an app's key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.sandbox.client import SandboxControl
from tests.support.providers import running_sandbox

INSTALLATION = 957387


class PlainGitHub:
    """Plain HTTP against the sandbox."""

    def __init__(self, control: SandboxControl, http: httpx.AsyncClient) -> None:
        self.control = control
        self.http = http

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A call below the API's address, or of a whole one."""
        url = path if path.startswith("http") else f"{self.control.url}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, url, json=body, headers=named)

    async def token(self, **form: str) -> dict[str, Any]:
        """An answer of the token endpoint."""
        client = {"client_id": "castiel-local", "client_secret": "castiel-local-secret"}
        answer = await self.http.post(
            f"{self.control.url}/login/oauth/access_token",
            data=client | form,
            headers={"Accept": "application/json"},
        )
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def plain_github() -> AsyncIterator[PlainGitHub]:
    """A fresh sandbox in memory, and a client with a token."""
    async with running_sandbox("github") as sandbox, httpx.AsyncClient(trust_env=False, timeout=10) as http:
        token = (await sandbox.control.grant())["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield PlainGitHub(sandbox.control, http)


def app_key() -> tuple[str, str]:
    """A new RSA pair in PEM: private, public."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()
