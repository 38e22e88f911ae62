"""Data-plane pods on loopback: real admin servers that speak the push contract, and misbehave when told to."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from merit_crds.push import PODS_HEADER, SNAPSHOT_PATH, TERM_HEADER, VERSION_HEADER, VERSION_PATH, Ack, Nack, Rejection
from merit_operator.discovery import Pod
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import Parcel, PodClient

TOKEN = "push-token-of-the-tests"


class FakePod:
    """One pod. Pods differ by their loopback address and share a port, as pods of a Service do."""

    def __init__(self, address: str):
        self.pod = Pod(f"pod-{address}", address)
        self.version, self.term = "", 0
        self.snapshot = b""
        self.refuses: Rejection | None = None
        self.hangs = False
        self.pushes: list[tuple[str, int]] = []
        self.bodies: list[bytes] = []
        self.fleet = ""
        """How many pods it was told that there are."""

    def app(self) -> web.Application:
        """Its admin application."""
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.put(SNAPSHOT_PATH, self._push), web.get(VERSION_PATH, self._version)])
        app.add_routes([web.get(SNAPSHOT_PATH, self._snapshot)])
        return app

    async def _push(self, request: web.Request) -> web.Response:
        if self.hangs:
            await asyncio.sleep(60)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._nack(401, Rejection.UNAUTHORIZED)
        self.fleet = request.headers.get(PODS_HEADER, "")
        version, term = request.headers[VERSION_HEADER], int(request.headers[TERM_HEADER])
        self.pushes.append((version, term))
        if term < self.term:
            return self._nack(409, Rejection.STALE_TERM)
        self.term = term
        if self.refuses is not None:
            return self._nack(422, self.refuses)
        self.bodies.append(await request.read())
        self.version = version
        return self._ack()

    async def _version(self, request: web.Request) -> web.Response:
        self.fleet = request.headers.get(PODS_HEADER, "")
        if self.hangs:
            await asyncio.sleep(60)
        return self._ack()

    async def _snapshot(self, _: web.Request) -> web.Response:
        return web.Response(body=self.snapshot) if self.snapshot else web.Response(status=404)

    def _ack(self) -> web.Response:
        ack = Ack(version=self.version, term=self.term, pod=self.pod.name)
        return web.Response(body=msgspec.json.encode(ack), content_type="application/json")

    def _nack(self, status: int, rejection: Rejection) -> web.Response:
        nack = Nack(version=self.version, rejection=rejection, message="simulated", term=self.term, pod=self.pod.name)
        return web.Response(status=status, body=msgspec.json.encode(nack), content_type="application/json")


@contextlib.asynccontextmanager
async def running(count: int, tmp_path: Path) -> AsyncIterator[tuple[list[FakePod], PodClient]]:
    """This many pods at 127.0.0.2, 127.0.0.3, …, and a client for their port."""
    pods = [FakePod(f"127.0.0.{i + 2}") for i in range(count)]
    port, runners = 0, []
    for pod in pods:
        runner = web.AppRunner(pod.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, pod.pod.address, port).start()
        port = port or runner.addresses[0][1]
        runners.append(runner)
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    client = PodClient(port=port, token_file=token, tls_ca=None)
    try:
        yield pods, client
    finally:
        await client.close()
        for runner in runners:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def publisher(client: PodClient, outdone: Callable[[int], None] = lambda _: None) -> AsyncIterator[Publisher]:
    made = Publisher(client, changed=lambda: None, outdone=outdone)
    try:
        yield made
    finally:
        await made.close()


async def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "not in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def parcel(version: str, term: int = 1) -> Parcel:
    return Parcel(version=version, term=term, body=gzip.compress(b"packed"))


def all_at(pods: list[FakePod], version: str) -> Callable[[], bool]:
    return lambda: all(pod.version == version for pod in pods)
