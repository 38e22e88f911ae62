"""A small API server on loopback for what needs no real one: ConfigMaps, Secrets and watches, by their paths."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from kubernetes.aio import client as api

from merit_operator.client import KubeClient


class FakeKube:
    """Objects by path. `failing` answers everything with that status."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.failing = 0
        self.watches = 0
        self.accepts: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if self.failing:
            return web.json_response({"message": "simulated"}, status=self.failing)
        if "watch" in request.query:
            self.watches += 1
            self.accepts.append(request.headers["Accept"])
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(60)
            return response
        if request.method in ("PATCH", "POST"):
            self.objects[request.path] = json.loads(await request.read())
        found = self.objects.get(request.path)
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({**found, "metadata": {**found.get("metadata", {}), "resourceVersion": "7"}})


@contextlib.asynccontextmanager
async def kube() -> AsyncIterator[tuple[FakeKube, KubeClient]]:
    """A running one, and a client for it."""
    fake, app = FakeKube(), web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = KubeClient(api.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        yield fake, client
    finally:
        await client.close()
        await runner.cleanup()
