"""Circuits and cool-downs of several gateways in front of the same vendors, through a real Redis."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.live import Live
from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.resilience.account import AccountLimits
from merit_dataplane.resilience.circuit import Circuit
from merit_dataplane.resilience.shared_health import account_id, circuit_id
from merit_dataplane.upstream.client import Failure, UpstreamError
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import SECONDS, cluster, is_on, needs_redis, redis_server
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
slow = pytest.mark.slow
QUICK = "timeouts: {firstByte: 1s}"


@asynccontextmanager
async def pods(number: int, vendors: Vendors, url: str, *, told: int = 0) -> AsyncIterator[list[Running]]:
    """So many gateways. `told`: how many there are, as the operator says."""
    async with AsyncExitStack() as stack:
        yield [await pod(stack, vendors, url, told or number) for _ in range(number)]


async def pod(stack: AsyncExitStack, vendors: Vendors, url: str, told: int = 2, extra: str = "") -> Running:
    """One, once its link is on."""
    redis = RedisSettings(RedisAddress.parse(url), budget_seconds=1.0)
    made = await stack.enter_async_context(gateway(*vendors.resources(extra=extra), redis=redis, alone=False))
    made.parts.fleet.pods = told
    state = made.parts.state
    assert state is not None
    await eventually(lambda: is_on(state), "Redis is not on", SECONDS)
    return made


def circuit(merit: Running, place: int = 0) -> Circuit:
    assert merit.parts.holder.tables is not None
    return merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[place].endpoints[0].circuit


def account(merit: Running, name: str = "cheap") -> AccountLimits:
    return merit.parts.holder.live.account(f"default/{name}")


def is_open(merit: Running, place: int = 0) -> Callable[[], bool]:
    return lambda: circuit(merit, place).open_until > 0


async def serve(merit: Running, *, times: int = 1) -> str:
    """Who answered last."""
    for _ in range(times):
        answer = await merit.post(CHAT)
        assert answer.status_code == 200, answer.text
    return answer.headers["x-merit-provider"]


async def opens(merit: Running, vendors: Vendors, behaviour: Behaviour) -> None:
    """The vendor `cheap` breaks, and this pod finds out."""
    vendors.cheap.behaviour = behaviour
    await serve(merit, times=5)
    assert is_open(merit)()


async def looked(merit: Running, *, times: int = 2) -> None:
    """It has heard of all that was said until now."""
    assert merit.parts.health is not None
    for _ in range(times):
        await merit.parts.health.look()


async def test_a_new_pod_knows_at_once_and_asks_nobody(vendors: Vendors) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        one = await pod(stack, vendors, server.url)
        vendors.cheap.behaviour = Behaviour(status=404)
        await serve(one)
        new = await pod(stack, vendors, server.url)
        await eventually(is_open(new), "the new pod does not hear of it", SECONDS)
        assert await serve(new, times=3) == "middle"
        assert vendors.cheap.stats.requests == 1
        told = (await new.post(CHAT, path="/v1/explain")).json()["meritOrder"]
        reason = next(bid["reason"] for bid in told if bid["provider"] == "default/cheap")
        assert "by the word of other pods" in reason
        assert 'merit_shared_health_total{event="believed"} 1.0' in await new.metrics()


async def recovered(merit: Running, otherwise: str) -> None:
    """A request went to the cheaper candidate again."""

    async def recovers() -> bool:
        return await serve(merit) == "cheap"

    await eventually(recovers, otherwise, SECONDS)


@slow
async def test_silence_is_believed_of_a_pod_that_hears_others(vendors: Vendors) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        one, new = [await pod(stack, vendors, server.url, extra=QUICK) for _ in range(2)]
        await opens(one, vendors, Behaviour(fault="hang"))
        assert one.parts.ledger.health["opened_silent"] == 1
        await eventually(is_open(new), "the new pod does not hear of it", SECONDS)


@slow
async def test_a_recovery_is_known_to_all(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        await opens(one, vendors, Behaviour(status=503))
        await eventually(is_open(two), "not heard", SECONDS)
        vendors.cheap.behaviour = Behaviour()
        await recovered(one, "no probe")
        await eventually(lambda: not is_open(two)(), "the recovery is not heard", SECONDS)
        assert await serve(two) == "cheap"


@slow
async def test_one_pod_at_a_time_probes(vendors: Vendors) -> None:
    """Three pods with traffic; in 12 s each alone would probe once or twice."""
    async with redis_server() as server, pods(3, vendors, server.url) as fleet:
        await opens(fleet[0], vendors, Behaviour(status=503))
        for merit in fleet[1:]:
            await eventually(is_open(merit), "not heard", SECONDS)
        asked, probes = vendors.cheap.stats.requests, 0
        loop = asyncio.get_running_loop()
        ends = loop.time() + 12
        while loop.time() < ends:
            for merit in fleet:
                assert await serve(merit) == "middle"
            await asyncio.sleep(0.05)
        probes = vendors.cheap.stats.requests - asked
        assert 1 <= probes <= 2, "after 5 s, and 10 s later"


@slow
async def test_a_pod_without_requests_leaves_the_probe_to_others(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (idle, busy):
        await opens(idle, vendors, Behaviour(status=503))
        await eventually(is_open(busy), "not heard", SECONDS)
        vendors.cheap.behaviour = Behaviour()
        await recovered(busy, "nobody probes")
        assert idle.parts.ledger.health["probe"] == 0


async def test_a_pod_whose_own_network_is_down_closes_nobody_elses_way(
    vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with redis_server() as server, pods(3, vendors, server.url) as (sick, idle, busy):

        async def unreachable(*_: object) -> None:
            raise UpstreamError(Failure.CONNECT, "network is unreachable")

        await serve(busy)
        monkeypatch.setattr(sick.parts.client, "_connect", unreachable)
        for _ in range(6):
            await sick.post(CHAT)
        assert is_open(sick, 0)()
        assert is_open(sick, 2)()
        assert sick.parts.ledger.health["opened_deaf"] >= 3
        for merit in (idle, busy):
            await looked(merit)
            assert not is_open(merit)()
            assert await serve(merit) == "cheap"
        assert idle.parts.ledger.health["suspected"] >= 3
        assert idle.parts.ledger.health["believed"] == 0


async def test_whoever_has_fresh_answers_is_suspicious_and_no_more(vendors: Vendors) -> None:
    """One pod gets errors from a vendor that answers the other one: perhaps a proxy in between."""
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        vendors.cheap.behaviour = Behaviour(status=404)
        await serve(one)
        vendors.cheap.behaviour = Behaviour()
        circuit(two).succeeded(asyncio.get_running_loop().time(), 0.0)
        await looked(two)
        assert not is_open(two)()
        assert await serve(two) == "cheap"
        vendors.cheap.behaviour = Behaviour(status=503, times=1)
        assert await serve(two) == "middle"
        assert is_open(two)(), "the first failure of its own is enough"


async def test_a_cool_down_holds_for_all_pods(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        vendors.cheap.behaviour = Behaviour(status=429, retry_after="30")
        assert await serve(one) == "middle"
        loop = asyncio.get_running_loop()
        await eventually(lambda: account(two).cooling_until > loop.time(), "not heard", SECONDS)
        assert 20 < account(two).cooling_until - loop.time() <= 30
        assert vendors.cheap.stats.requests == 1
        assert await serve(two) == "middle"
        assert vendors.cheap.stats.requests == 1


async def test_what_is_said_of_another_key_says_nothing(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        new_key = [document.replace("sk-provider-canary", "sk-another-key") for document in vendors.resources()]
        await two.apply(*new_key)
        vendors.cheap.behaviour = Behaviour(status=401)
        assert await serve(one) == "middle"
        vendors.cheap.behaviour = Behaviour()
        await looked(two)
        assert await serve(two) == "cheap"


async def test_when_all_circuits_are_open_by_hearsay_all_are_tried(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        for vendor in vendors.all:
            vendor.behaviour = Behaviour(status=503)
        for _ in range(6):
            assert (await one.post(CHAT)).status_code == 502
        for place in range(3):
            await eventually(is_open(two, place), "not heard", SECONDS)
        for vendor in vendors.all:
            vendor.behaviour = Behaviour()
        await serve(two)


@slow
async def test_junk_in_redis_is_ignored(vendors: Vendors) -> None:
    async with redis_server() as server, pods(1, vendors, server.url) as (one,):
        state, health = one.parts.state, one.parts.health
        assert state is not None
        assert health is not None
        name = circuit_id(circuit(one))
        key, changes = state.key("health", "all", name), state.key("health-changes", "all")
        for value in (b"told:99999999999999", b"\xff\xfe", b"told:-5", b"silent:soon"):
            await server("HSET", key, "o:x", value, "c", value, "p", value)
            await server("ZADD", changes, 10**15, name, 10**15, b"\xff\x00", 10**15, "none-of-ours")
            await looked(one)
            assert not is_open(one)()
        await server("DEL", key)
        await server("SET", key, "a string")
        await looked(one)
        await server("SET", changes, "a string")
        await opens(one, vendors, Behaviour(status=503))

        async def cleaned() -> bool:
            return [await server("TYPE", key), await server("TYPE", changes)] == [b"hash", b"zset"]

        async def again() -> bool:
            await serve(one)
            return await cleaned()

        await eventually(again, "what is of another type is not removed", SECONDS)


async def test_what_is_written_names_nobody_and_expires(vendors: Vendors) -> None:
    async with redis_server() as server, pods(1, vendors, server.url) as (one,):
        await opens(one, vendors, Behaviour(status=503))
        vendors.middle.behaviour = Behaviour(status=429, retry_after="5")
        await serve(one)

        async def three() -> bool:
            return len(await server("KEYS", "*health*")) == 3

        await eventually(three, "two hashes and their changes", SECONDS)
        for key in await server("KEYS", "*health*"):
            assert 0 < await server("PTTL", key) <= 120_000
            dumped = await server("DUMP", key)
            assert not [word for word in (b"cheap", b"127.0.0.1", b"canary") if word in key + dumped]


@slow
async def test_without_redis_each_pod_goes_by_what_it_sees(vendors: Vendors) -> None:
    async with redis_server() as server, pods(2, vendors, server.url) as (one, two):
        server.send(signal.SIGSTOP)
        await opens(one, vendors, Behaviour(status=503))
        await asyncio.sleep(0.2)
        assert not is_open(two)()
        vendors.cheap.behaviour = Behaviour()
        assert await serve(two) == "cheap"

        async def recovers() -> bool:
            return await serve(one) == "cheap"

        await eventually(recovers, "without Redis it does not probe", SECONDS)
        server.send(signal.SIGCONT)


@slow
async def test_through_a_cluster(vendors: Vendors) -> None:
    async with cluster() as servers:
        url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        async with pods(2, vendors, url) as (one, two):
            await opens(one, vendors, Behaviour(status=503))
            await eventually(is_open(two), "not heard", SECONDS)


async def test_pods_agree_on_names_and_an_endpoint_elsewhere_has_another(vendors: Vendors) -> None:
    def named(url: str, credential: str) -> tuple[str, str]:
        live = Live()
        live.circuit_news = live.account_news = lambda _: None  # type: ignore[assignment]
        account = live.account("default/a")
        account.credential = credential
        place = ("default/a", "e", url)
        return circuit_id(live.circuit(live.circuits(*place), place, "m")), account_id(account)

    del vendors
    assert named("http://a/v1", "k") == named("http://a/v1", "k")
    assert named("http://a/v1", "k")[0] != named("http://b/v1", "k")[0]
    assert named("http://a/v1", "k")[1] != named("http://a/v1", "l")[1]
