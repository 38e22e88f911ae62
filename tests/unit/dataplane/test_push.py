"""The push, as merit_crds.push has it, against the admin port: what is accepted, what is refused, what is kept."""

import asyncio
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from merit_crds.compile import Compiled
from merit_crds.push import FORMAT_HEADER, SNAPSHOT_PATH, TERM_HEADER, VERSION_HEADER, VERSION_PATH
from merit_crds.snapshot import (
    FORMAT,
    Candidate,
    ModelPrice,
    PricingEntry,
    ProviderEntry,
    Rates,
    RouteEntry,
    Snapshot,
    SpecialRates,
    Tier,
    encode,
    version_of,
)
from merit_crds.snapshot.model import Endpoint
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.live import Live
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.last_good import LastGoodDisk, restore
from tests.support.gateway import PUSH_TOKEN, Running, eventually, gateway
from tests.support.resources import compiled, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


def packed(snapshot: bytes, credentials: Mapping[str, str]) -> bytes:
    body = msgspec.json.encode({"snapshot": msgspec.Raw(snapshot), "credentials": dict(credentials)})
    return gzip.compress(body, mtime=0)


async def push(
    merit: Running,
    what: Compiled | Snapshot | bytes,
    *,
    credentials: Mapping[str, str] | None = None,
    headers: Mapping[str, str | bytes | None] | None = None,
    term: int = 1,
    raw: bytes | None = None,
) -> httpx.Response:
    """Pushes as the operator does; `headers` replaces some (None: leaves it out), `raw` the bytes of the body."""
    if isinstance(what, Compiled):
        body, values = what.body, what.credentials
    else:
        body, values = what if isinstance(what, bytes) else encode(what), {}
    sent: dict[str, str | bytes | None] = {
        "authorization": f"Bearer {PUSH_TOKEN}",
        VERSION_HEADER: version_of(body),
        TERM_HEADER: str(term),
        FORMAT_HEADER: str(FORMAT),
        "content-encoding": "gzip",
        **(headers or {}),
    }
    content = packed(body, values if credentials is None else credentials) if raw is None else raw
    return await merit.http.put(
        merit.admin_url + SNAPSHOT_PATH,
        content=content,
        headers=[
            (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in sent.items()
            if value is not None
        ],
    )


@pytest.fixture
def good(vendors: Vendors) -> Compiled:
    return compiled(*vendors.resources())


@pytest.fixture
def other(vendors: Vendors) -> Compiled:
    return compiled(*vendors.resources(route("dear")))


@pytest_asyncio.fixture(loop_scope="session")
async def merit(good: Compiled) -> AsyncIterator[Running]:
    """A pod that serves `good`, pushed at term 5."""
    async with gateway() as running:
        assert (await push(running, good, term=5)).status_code == 200
        yield running


async def serves(merit: Running, what: Compiled) -> None:
    """It serves this and nothing else, and says so."""
    serving = await merit.http.get(merit.admin_url + VERSION_PATH, headers={"authorization": f"Bearer {PUSH_TOKEN}"})
    assert serving.json()["version"] == what.version
    answer = await merit.post(CHAT)
    assert (answer.status_code, answer.headers["x-merit-snapshot"]) == (200, what.version[:12])


# ---- accepted


async def test_a_push_is_served_and_acknowledged(good: Compiled) -> None:
    async with gateway() as merit:
        assert (await merit.http.get(f"{merit.admin_url}/readyz")).status_code == 503
        answer = await push(merit, good, term=3)
        assert answer.status_code == 200
        ack = answer.json()
        assert ack.pop("took_ms") > 0
        assert ack.pop("process")
        assert ack == {"version": good.version, "term": 3, "pod": "pod-under-test", "used": []}
        ready = await merit.http.get(f"{merit.admin_url}/readyz")
        assert (ready.status_code, ready.text) == (200, f"serving {good.version[:12]}\n")
        await serves(merit, good)
        assert f'merit_snapshot_info{{term="3",version="{good.version[:12]}"}} 1.0' in await merit.metrics()


async def test_the_same_push_again_changes_nothing(merit: Running, good: Compiled) -> None:
    tables = merit.parts.holder.tables
    for term in (5, 6):
        answer = await push(merit, good, term=term)
        assert (answer.status_code, answer.json()["version"], answer.json()["term"]) == (200, good.version, term)
    assert merit.parts.holder.tables is tables


async def test_another_version_replaces_it(merit: Running, other: Compiled) -> None:
    assert (await push(merit, other, term=5)).status_code == 200
    await serves(merit, other)
    assert (await merit.post(CHAT)).headers["x-merit-provider"] == "dear"


async def test_an_empty_snapshot_is_a_snapshot(merit: Running) -> None:
    empty = Snapshot(format=FORMAT)
    answer = await push(merit, empty, term=5)
    assert (answer.status_code, answer.json()["version"]) == (200, version_of(encode(empty)))
    assert (await merit.http.get(f"{merit.admin_url}/readyz")).status_code == 200
    assert (await merit.post(CHAT)).status_code == 401


async def test_the_dump_is_what_was_pushed(merit: Running, good: Compiled) -> None:
    answer = await merit.http.get(merit.admin_url + SNAPSHOT_PATH, headers={"authorization": f"Bearer {PUSH_TOKEN}"})
    assert answer.content == good.body
    assert version_of(answer.content) == answer.headers[VERSION_HEADER]


# ---- refused

NOT_A_PUSH = gzip.compress(b'{"snapshot":5}')
REFUSALS: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("no token", {"headers": {"authorization": None}}, 401, "Unauthorized", "token"),
    ("wrong token", {"headers": {"authorization": "Bearer wrong"}}, 401, "Unauthorized", "token"),
    ("the start of the token", {"headers": {"authorization": f"Bearer {PUSH_TOKEN[:-1]}"}}, 401, "Unauthorized", ""),
    ("odd token", {"headers": {"authorization": b"Bearer \x80\xff"}}, 401, "Unauthorized", "token"),
    ("stale term", {"term": 4}, 409, "StaleTerm", "term 4 is older than 5"),
    ("negative term", {"term": -1}, 409, "StaleTerm", "older"),
    ("no term", {"headers": {TERM_HEADER: None}}, 422, "Malformed", TERM_HEADER),
    ("odd term", {"headers": {TERM_HEADER: "five"}}, 422, "Malformed", TERM_HEADER),
    ("a term beyond all terms", {"headers": {TERM_HEADER: "9" * 30}}, 422, "Malformed", TERM_HEADER),
    ("no version", {"headers": {VERSION_HEADER: None}}, 422, "Malformed", VERSION_HEADER),
    ("odd version", {"headers": {VERSION_HEADER: "v2"}}, 422, "Malformed", VERSION_HEADER),
    ("wrong digest", {"headers": {VERSION_HEADER: "0" * 64}}, 422, "DigestMismatch", "SHA-256"),
    ("another format", {"headers": {FORMAT_HEADER: "2"}}, 426, "UnknownFormat", "format 1"),
    ("no format", {"headers": {FORMAT_HEADER: None}}, 426, "UnknownFormat", "format 1"),
    ("no gzip", {"raw": b'{"snapshot":{}}'}, 422, "Malformed", "no gzip"),
    ("nothing", {"raw": b""}, 422, "Malformed", "cut off"),
    ("no JSON", {"raw": gzip.compress(b"hello")}, 422, "Malformed", "no push"),
    ("no push", {"raw": NOT_A_PUSH}, 422, "Malformed", "no push"),
    ("deep JSON", {"raw": gzip.compress(b'{"snapshot":' + b"[" * 100_000)}, 422, "Malformed", "no push"),
    ("no credentials", {"credentials": {}}, 422, "CredentialsMismatch", "default/provider-keys/key"),
]


@pytest.mark.parametrize(
    ("change", "status", "rejection", "words"),
    [refusal[1:] for refusal in REFUSALS],
    ids=[refusal[0] for refusal in REFUSALS],
)
async def test_a_push_that_is_refused_leaves_the_old_snapshot_in_force(
    merit: Running, good: Compiled, other: Compiled, change: dict[str, Any], status: int, rejection: str, words: str
) -> None:
    answer = await push(merit, other, **{"term": 5, **change})
    nack = answer.json()
    assert (answer.status_code, nack["rejection"], nack["version"]) == (status, rejection, good.version)
    assert words in nack["message"]
    await serves(merit, good)


async def test_a_cut_off_body(merit: Running, good: Compiled, other: Compiled) -> None:
    whole = packed(other.body, other.credentials)
    for length in (len(whole) - 1, len(whole) // 2, 1):
        answer = await push(merit, other, raw=whole[:length], term=5)
        assert (answer.status_code, answer.json()["rejection"]) == (422, "Malformed")
    await serves(merit, good)


async def test_a_bomb_is_not_unpacked(merit: Running, good: Compiled, other: Compiled) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(17)) + packer.flush()
    answer = await push(merit, other, raw=bomb, term=5)
    assert (answer.status_code, answer.json()["rejection"]) == (413, "TooLarge")
    await serves(merit, good)


async def test_more_bytes_than_a_push_has(merit: Running, good: Compiled, other: Compiled) -> None:
    answer = await push(merit, other, raw=bytes(33 * 1024 * 1024), term=5)
    assert (answer.status_code, answer.json()["rejection"]) == (413, "TooLarge")
    await serves(merit, good)


def edited(what: Compiled, *path: str | int, value: object) -> bytes:
    """The snapshot's bytes with one field changed; the digest is that of the changed bytes."""
    document = json.loads(what.body)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return msgspec.json.encode(document, order="sorted")


RATES = {"input": 1, "output": 1, "cached_input": 1, "cache_write": 1, "request": 0}
MALFORMED: list[tuple[str, tuple[str | int, ...], object, str]] = [
    ("wrong type", ("routes", "default/chat", "attempts"), "three", "routes['default/chat']"),
    ("a fraction of money", ("pricings", "default/cheap", "models", "cheap-model", "rates", "input"), 0.5, "pricings["),
    ("negative money", ("pricings", "default/cheap", "models", "cheap-model", "rates", "input"), -5, "pricings["),
    ("context tiers out of order", ("pricings", "default/cheap", "models", "cheap-model", "context_tiers"),
     [{"above": above, "excess": False, "rates": RATES} for above in (200, 100)], "pricings["),
    ("a context tier with negative money", ("pricings", "default/cheap", "models", "cheap-model", "context_tiers"),
     [{"above": 100, "excess": False, "rates": RATES | {"input": -1}}], "pricings["),
    ("special rates with negative money", ("pricings", "default/cheap", "models", "cheap-model", "rates", "special"),
     dict.fromkeys(SpecialRates.__struct_fields__, 1) | {"audio_output": -1}, "pricings["),
    ("periods out of order", ("pricings", "default/cheap", "models", "cheap-model", "periods"),
     [{"start": start, "rates": RATES} for start in (200, 100)], "pricings["),
    ("a time zone that this pod does not know", ("pricings", "default/cheap", "models", "cheap-model", "schedules"),
     [{"name": "night", "time_zone": "Europe/Bonn", "windows": [], "tariff": {"rates": RATES}}], "Europe/Bonn"),
    ("a window beyond the day", ("pricings", "default/cheap", "models", "cheap-model", "schedules"),
     [{"name": "night", "time_zone": "UTC", "windows": [{"days": 1, "start": 0, "end": 86401}],
       "tariff": {"rates": RATES}}], "pricings["),
    ("a schedule with negative money", ("pricings", "default/cheap", "models", "cheap-model", "schedules"),
     [{"name": "night", "time_zone": "UTC", "windows": [], "tariff": {"rates": RATES | {"output": -1}}}], "pricings["),
    ("unknown field", ("routes", "default/chat", "surprise"), 1, "routes['default/chat']"),
    ("unknown table", ("surprises",), {}, "surprises"),
    ("a table that is none", ("routes",), [], "routes"),
    ("a route to a provider that is not there", ("routes", "default/chat", "tiers", 0, "candidates", 0, "provider"),
     "default/none", "routes['default/chat']"),
    ("a model without a price", ("routes", "default/chat", "tiers", 0, "candidates", 0, "model"), "none",
     "routes['default/chat']"),
    ("a route without tiers", ("routes", "default/chat", "tiers"), [], "routes['default/chat']"),
    ("a capability of a later release", ("pricings", "default/cheap", "models", "cheap-model", "capabilities"),
     ["Telepathy"], "Telepathy"),
    ("a pattern that is none", ("routes", "default/chat", "tiers", 0, "when"), [{"last_message": "("}],
     "routes['default/chat']"),
    ("a consumer of a route that is not there", ("consumers", "default/tests", "routes"), ["default/none"],
     "consumers['default/tests']"),
    ("a consumer of what is no route", ("consumers", "default/tests", "routes"), ["none"],
     "consumers['default/tests']"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "words"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
async def test_a_snapshot_that_makes_no_sense_is_refused_by_the_entry(
    merit: Running, good: Compiled, path: tuple[str | int, ...], value: object, words: str
) -> None:
    changed = edited(good, *path, value=value)
    answer = await push(merit, changed, credentials=good.credentials, term=5)
    nack = answer.json()
    assert (answer.status_code, nack["rejection"], nack["version"]) == (422, "Malformed", good.version)
    assert words in nack["message"]
    await serves(merit, good)


async def test_a_refused_snapshot_changes_no_limit(merit: Running, good: Compiled) -> None:
    document = json.loads(good.body)
    document["providers"]["default/cheap"]["concurrent_requests"] = 1
    document["routes"]["default/chat"]["tiers"] = []
    changed = msgspec.json.encode(document, order="sorted")
    assert (await push(merit, changed, credentials=good.credentials, term=5)).status_code == 422
    assert merit.parts.holder.live.account("default/cheap").usage is None


async def test_a_format_inside_that_differs_from_the_header(merit: Running, good: Compiled) -> None:
    changed = edited(good, "format", value=2)
    answer = await push(merit, changed, credentials=good.credentials, term=5)
    assert (answer.status_code, answer.json()["rejection"]) == (426, "UnknownFormat")
    assert "upgrade" in answer.json()["message"]


async def test_credentials_that_are_other_ones(merit: Running, good: Compiled, other: Compiled) -> None:
    values = {**other.credentials, "default/provider-keys/key": "sk-another"}
    answer = await push(merit, other, credentials=values, term=5)
    assert (answer.status_code, answer.json()["rejection"]) == (422, "CredentialsMismatch")
    assert "default/provider-keys/key" in answer.json()["message"]
    assert "sk-another" not in answer.text
    await serves(merit, good)


async def test_a_pod_without_a_snapshot_takes_nothing_for_one(good: Compiled) -> None:
    async with gateway() as merit:
        answer = await push(merit, good, headers={VERSION_HEADER: None}, raw=b"")
        assert answer.status_code == 422
        answer = await push(merit, good, headers={VERSION_HEADER: ""}, raw=b"")
        assert answer.status_code == 422
        assert (await merit.http.get(f"{merit.admin_url}/readyz")).status_code == 503


async def test_an_old_leader_stays_fenced_off_though_its_snapshot_is_fine(
    merit: Running, good: Compiled, other: Compiled
) -> None:
    assert (await push(merit, good, term=9)).status_code == 200
    assert (await push(merit, other, term=8)).status_code == 409
    await serves(merit, good)


async def test_an_empty_token_lets_nobody_in(good: Compiled) -> None:
    async with gateway(token=lambda: "") as merit:
        for value in ("Bearer ", "Bearer", "", f"Bearer {PUSH_TOKEN}"):
            assert (await push(merit, good, headers={"authorization": value.strip() or None})).status_code == 401


async def test_a_rotated_token_counts_at_once(good: Compiled) -> None:
    tokens = ["first-token"]
    async with gateway(token=lambda: tokens[0]) as merit:
        as_first = {"authorization": "Bearer first-token"}
        assert (await push(merit, good, headers=as_first)).status_code == 200
        tokens[0] = "second-token"
        assert (await push(merit, good, headers=as_first)).status_code == 401
        assert (await push(merit, good, headers={"authorization": "Bearer second-token"})).status_code == 200


async def test_version_and_dump_need_the_token(merit: Running) -> None:
    for path in (VERSION_PATH, SNAPSHOT_PATH):
        assert (await merit.http.get(merit.admin_url + path)).status_code == 401


async def test_a_standalone_gateway_takes_no_push_and_shows_its_snapshot(good: Compiled, vendors: Vendors) -> None:
    async with gateway(*vendors.resources(), standalone=True) as merit:
        assert (await push(merit, good)).status_code == 401
        assert (await merit.http.get(merit.admin_url + SNAPSHOT_PATH)).content == good.body


# ---- at once, and under load


async def test_a_small_push_does_not_overtake_the_large_one_before_it(good: Compiled) -> None:
    large = encode(big(500, 10))
    async with gateway() as merit:
        receive = merit.receiver.receive
        first = asyncio.create_task(receive(packed(large, {}), version=version_of(large), term=5))
        await asyncio.sleep(0)
        second = await receive(packed(good.body, good.credentials), version=good.version, term=5)
        assert second.version == good.version
        await first
        assert merit.parts.holder.version == good.version


async def test_each_of_100_streams_keeps_the_snapshot_it_began_with(vendors: Vendors) -> None:
    for vendor in vendors.all:
        vendor.behaviour = Behaviour(chunk_interval=0.01, latency=0.01, jitter=0.03)
    versions: dict[str, tuple[str, str]] = {}
    documents = []
    for number, name in enumerate(("cheap", "dear", "middle") * 4):
        usd = f"{number + 1}.5"
        others = [d for d in vendors.resources(route(name)) if f"providerRef: {{name: {name}}}" not in d]
        documents.append(compiled(*others, prices(name, usd, usd)))
        versions[documents[-1].version[:12]] = (name, usd)

    async with gateway() as merit:
        await push(merit, documents[0])

        async def stream(number: int) -> None:
            await asyncio.sleep(number * 0.004)
            answer = await merit.post({**CHAT, "stream": True, "stream_options": {"include_usage": True}})
            name, usd = versions[answer.headers["x-merit-snapshot"]]
            seen.add(answer.headers["x-merit-snapshot"])
            assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, name)
            assert answer.content.endswith(b"data: [DONE]\n\n")
            last = answer.content.strip().split(b"\n\n")[-2]
            usage = json.loads(last.removeprefix(b"data: "))["usage"]
            pico = (usage["prompt_tokens"] + usage["completion_tokens"]) * int(float(usd) * 10**6)
            assert round(usage["cost"] * 10**12) == pico

        seen: set[str] = set()
        streams = asyncio.gather(*(stream(n) for n in range(100)))
        for document in documents[1:]:
            await asyncio.sleep(0.03)
            assert (await push(merit, document)).status_code == 200
        await streams
        assert len(seen) > 2


async def test_a_provider_that_is_removed_finishes_its_streams(vendors: Vendors, good: Compiled) -> None:
    vendors.cheap.behaviour = Behaviour(chunk_interval=0.02)
    async with gateway() as merit:
        await push(merit, good)
        streams = asyncio.gather(*(merit.post({**CHAT, "stream": True}) for _ in range(20)))
        await eventually(lambda: vendors.cheap.stats.in_flight == 20, "the streams have not begun")
        await push(merit, compiled(provider("dear", vendors.dear.url), prices("dear", "1", "1"), route("dear"),
                                   vendors.resources()[-1]))  # fmt: skip
        assert (await merit.post(CHAT)).headers["x-merit-provider"] == "dear"
        for answer in await streams:
            assert answer.headers["x-merit-provider"] == "cheap"
            assert answer.content.endswith(b"data: [DONE]\n\n")
        await push(merit, good)
        assert merit.parts.holder.live.account("default/cheap").in_flight == 0


def big(routes: int, candidates: int) -> Snapshot:
    """A snapshot of the size that Merit is designed for."""
    names = [f"ns/provider-{n}" for n in range(500)]
    rates = Rates(input=150_000, output=600_000, cached_input=75_000, cache_write=150_000)
    models = [f"model-{n}" for n in range(4)]
    return Snapshot(
        format=FORMAT,
        providers={
            name: ProviderEntry(
                generation=1, protocol="OpenAI", endpoints=(Endpoint(name="main", url="http://127.0.0.1:9/v1"),)
            )
            for name in names
        },
        pricings={
            name: PricingEntry(
                generation=1,
                provider=name,
                models={model: ModelPrice(rates=rates, capabilities=("Streaming", "Tools")) for model in models},
            )
            for name in names
        },
        routes={
            f"ns/route-{n}": RouteEntry(
                generation=1,
                models=(f"alias-{n}",),
                tiers=(
                    Tier(
                        name="all",
                        candidates=tuple(
                            Candidate(provider=names[(n + c) % 500], model=models[c % 4], accuracy=0.9)
                            for c in range(candidates)
                        ),
                    ),
                ),
            )
            for n in range(routes)
        },
    )


async def longest_stall(merit: Running, snapshot: Snapshot) -> tuple[float, float]:
    """Longest that the event loop worked without a breath, and the whole work; in CPU seconds of its thread."""
    body = encode(snapshot)
    raw, version = packed(body, {}), version_of(body)
    loop = asyncio.get_running_loop()
    longest, last, beating = 0.0, time.thread_time(), True

    def beat() -> None:
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now
        if beating:
            loop.call_later(0.0005, beat)

    beat()
    started = time.thread_time()
    answer = await merit.receiver.receive(raw, version=version, term=1)
    worked = time.thread_time() - started
    await asyncio.sleep(0.4)  # the replaced tables are taken apart
    beating = False
    assert answer.version == version
    return longest, worked


async def test_applying_a_full_snapshot_gives_requests_a_breath() -> None:
    """The design's number is 20 ms on a core of its own; the bound here only tells slices from none."""
    async with gateway() as merit:
        for routes in (2000, 1999):
            longest, worked = await longest_stall(merit, big(routes, 20))
            print(f"{routes} routes x 20: longest stall {longest * 1000:.1f} ms of {worked * 1000:.0f} ms of work")
            assert longest < 0.15


# ---- the last good snapshot


def stored(folder: Path) -> Path:
    """The one file of a pod's disk."""
    (file,) = folder.iterdir()
    return file


async def restart(state: Path | None, mounted: Path | None) -> SnapshotHolder:
    """A pod that starts while the operator is away."""
    holder = SnapshotHolder(Live())
    await restore(holder, disk=LastGoodDisk(state) if state else None, mounted=mounted)
    return holder


def mount(folder: Path, what: Compiled, *, term: int = 5, pieces: int = 1) -> Path:
    """What the leader keeps in the cluster, as it is mounted."""
    folder.mkdir(exist_ok=True)
    data = gzip.compress(what.body)
    size = -(-len(data) // pieces)
    for number in range(pieces):
        (folder / f"snapshot.{number}").write_bytes(data[number * size : (number + 1) * size])
    for name, value in (("count", str(pieces)), ("version", what.version), ("term", str(term))):
        (folder / name).write_text(value)
    (folder / "credentials").write_bytes(msgspec.json.encode(dict(what.credentials)))
    return folder


async def test_a_restarted_pod_serves_what_it_served(good: Compiled, tmp_path: Path) -> None:
    async with gateway(state_dir=tmp_path / "state") as merit:
        assert (await push(merit, good, term=7)).status_code == 200
    holder = await restart(tmp_path / "state", mount(tmp_path / "mounted", good, term=3))
    assert (holder.version, holder.term) == (good.version, 7)


async def test_the_disk_holds_no_credential(good: Compiled, tmp_path: Path) -> None:
    async with gateway(state_dir=tmp_path) as merit:
        await push(merit, good)
    file = stored(tmp_path)
    text = gzip.decompress(file.read_bytes()).decode()
    assert not [value for value in good.credentials.values() if value in text]
    assert (await restart(tmp_path, None)).version == ""


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_new_pod_serves_the_clusters_copy(good: Compiled, tmp_path: Path, pieces: int) -> None:
    holder = await restart(tmp_path / "none", mount(tmp_path / "mounted", good, pieces=pieces))
    assert (holder.version, holder.term) == (good.version, 5)


async def test_the_newer_term_wins_and_the_other_is_the_fallback(
    good: Compiled, other: Compiled, tmp_path: Path
) -> None:
    async with gateway(state_dir=tmp_path / "state") as merit:
        await push(merit, good, term=7)
    mounted = mount(tmp_path / "mounted", other, term=8)
    assert (await restart(tmp_path / "state", mounted)).version == other.version
    (mounted / "version").write_text("0" * 64)
    assert (await restart(tmp_path / "state", mounted)).version == good.version


async def test_a_rotated_credential_makes_a_stored_snapshot_unusable(good: Compiled, tmp_path: Path) -> None:
    mounted = mount(tmp_path / "mounted", good)
    (mounted / "credentials").write_bytes(b'{"default/provider-keys/key":"another"}')
    assert (await restart(None, mounted)).version == ""


@pytest.mark.parametrize(
    "damage",
    ["cut", "empty", "flipped", "no gzip", "no head", "a head that is none", "head without term", "odd term", "list"],
)
async def test_a_damaged_disk_is_passed_over(good: Compiled, other: Compiled, tmp_path: Path, damage: str) -> None:
    async with gateway(state_dir=tmp_path) as merit:
        await push(merit, good, term=9)
    file = stored(tmp_path)
    data = file.read_bytes()
    _, body = gzip.decompress(data).split(b"\n", 1)
    heads = {
        "no head": b"", "a head that is none": b"{\n", "head without term": b'{"version":"x"}\n',
        "odd term": b'{"version":"x","term":"y"}\n', "list": b"[]\n",
    }  # fmt: skip
    if damage in heads:
        file.write_bytes(gzip.compress(heads[damage] + body))
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        file.write_bytes({"cut": data[:-20], "empty": b"", "flipped": flipped, "no gzip": b"hello"}[damage])
    mounted = mount(tmp_path / "mounted", other, term=1)
    assert (await restart(tmp_path, mounted)).version == other.version


@pytest.mark.parametrize("damage", ["torn", "missing piece", "odd count", "odd term", "no version", "no credentials"])
async def test_a_torn_mounted_copy_is_passed_over(good: Compiled, other: Compiled, tmp_path: Path, damage: str) -> None:
    mounted = mount(tmp_path / "mounted", good, pieces=2)
    match damage:
        case "torn":  # one piece of the next version is there already
            (mounted / "snapshot.1").write_bytes(gzip.compress(other.body)[-50:])
        case "missing piece":
            (mounted / "snapshot.1").unlink()
        case "odd count":
            (mounted / "count").write_text("two")
        case "odd term":
            (mounted / "term").write_text("")
        case "no version":
            (mounted / "version").unlink()
        case _:
            (mounted / "credentials").write_bytes(b"[")
    assert (await restart(None, mounted)).version == ""


async def test_a_stored_snapshot_of_another_release_is_passed_over(
    good: Compiled, other: Compiled, tmp_path: Path
) -> None:
    unknown_field = edited(good, "routes", "default/chat", "surprise", value=1)
    for number, changed in enumerate((unknown_field, edited(good, "routes", "default/chat", "tiers", value=[]))):
        disk = LastGoodDisk(tmp_path / str(number))
        disk.store(changed, version=hashlib.sha256(changed).hexdigest(), term=9)
        await disk.flush()
        mounted = mount(tmp_path / "mounted", other, term=1)
        assert (await restart(tmp_path / str(number), mounted)).version == other.version


async def test_a_push_that_comes_while_a_stored_snapshot_is_applied_wins(good: Compiled, tmp_path: Path) -> None:
    mounted = mount(tmp_path / "mounted", good)
    large = big(300, 10)
    async with gateway() as merit:
        pushed = asyncio.create_task(push(merit, large, term=9))
        await eventually(lambda: merit.parts.holder._turn.locked() or merit.parts.holder.version != "", "no push came")
        await restore(merit.parts.holder, disk=None, mounted=mounted)
        assert (await pushed).status_code == 200
        assert merit.parts.holder.version == version_of(encode(large))


async def test_a_disk_that_can_not_be_written_is_logged_and_not_fatal(
    good: Compiled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "last-good.json.partial").symlink_to("/dev/full")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    for state in (full, in_the_way):
        async with gateway(state_dir=state) as merit:
            assert (await push(merit, good)).status_code == 200
            await serves(merit, good)
    assert caplog.text.count("last good snapshot not written") == 2


async def test_of_many_pushes_in_a_row_the_newest_is_on_the_disk(vendors: Vendors, tmp_path: Path) -> None:
    async with gateway(state_dir=tmp_path) as merit:
        for n in range(1, 9):
            last = compiled(*vendors.resources(route("cheap", extra=f"retry: {{attempts: {n}}}")))
            assert (await push(merit, last, term=n)).status_code == 200
    stored = LastGoodDisk(tmp_path).load()
    assert stored is not None
    assert (stored.version, stored.term) == (last.version, 8)
