"""What is left of a commitment, known to a whole fleet: real gateways, real admin ports, the real publisher."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.commitments import Tally, Used
from merit_crds.push import Ack, Nack, Volumes
from merit_operator.commitments import FleetVolumes
from merit_operator.discovery import Pod
from merit_operator.push import publisher as push
from merit_operator.push.parcel import pack
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import PodClient, UnreachableError
from merit_operator.status.document import Delivery, status_document
from tests.support.clock import Clock
from tests.support.commitments import answer, asked, committed
from tests.support.gateway import Running, eventually, free_port, gateway, scripted
from tests.support.resources import CONSUMER, compiled, prices, provider, route
from tests.unit.crds.worlds import quick
from tests.unit.operator.kube import kube
from tests.unit.operator.pods import TOKEN, running

USD = 10**12
KEY = "default/dear/deal/usd"
START = 1_767_225_600
CONFIG_MAP = "/api/v1/namespaces/merit/configmaps/merit-commitments"


@dataclass
class Fleet:
    """Gateways at 127.0.0.2, 127.0.0.3, …; each request draws 0.02 USD of a prepaid 1 USD."""

    port: int
    client: PodClient
    documents: tuple[str, ...]
    stack: contextlib.AsyncExitStack
    gateways: dict[str, Running] = field(default_factory=dict)

    @property
    def pods(self) -> set[Pod]:
        return {Pod(f"pod-{address}", address) for address in self.gateways}

    async def start(self, address: str, stack: contextlib.AsyncExitStack | None = None) -> Running:
        """A pod without a snapshot."""
        made = gateway(admin_at=(address, self.port), token=lambda: TOKEN, alone=False)
        self.gateways[address] = await (stack or self.stack).enter_async_context(made)
        return self.gateways[address]

    def drawn(self, address: str) -> int:
        """Units, as this pod knows of all."""
        accounts = [a for a in self.gateways[address].parts.holder.live.commitments if a.holds(time.time())]
        return accounts[0].drawn + accounts[0].others if accounts else -1

    async def all_know(self, units: int) -> None:
        """Waits until every pod does, and nobody thinks of more."""

        def known() -> bool:
            found = [self.drawn(address) for address in self.gateways]
            assert max(found) <= units, found
            return min(found) == units

        await eventually(known, f"not all know of {units}: {[self.drawn(a) for a in self.gateways]}", 20)


@contextlib.asynccontextmanager
async def fleet(count: int, tmp_path: Path, client_class: type[PodClient] = PodClient) -> AsyncIterator[Fleet]:
    (tmp_path / "token").write_text(TOKEN)
    async with contextlib.AsyncExitStack() as stack:
        dear, cheap = [await stack.enter_async_context(scripted(answer())) for _ in range(2)]
        terms = 'expires: "2027-01-01T00:00:00Z"\n      volume: {prepaid: "1"}'
        vendors = (provider("dear", dear), provider("cheap", cheap), committed(terms), prices("cheap", "1", "1"))
        port = free_port()
        client = client_class(port=port, token_file=tmp_path / "token", tls_ca=None)
        stack.push_async_callback(client.close)
        made = Fleet(port, client, (*vendors, route("dear", "cheap"), CONSUMER), stack)
        for place in range(count):
            await made.start(f"127.0.0.{place + 2}")
        yield made


@contextlib.asynccontextmanager
async def leader(fleet: Fleet, volumes: FleetVolumes, *, term: int = 1) -> AsyncIterator[Publisher]:
    """Pushes, and tells what has been drawn, as an operator that leads does."""
    made = Publisher(fleet.client, changed=lambda: None, outdone=lambda _: None, volumes=volumes)
    try:
        volumes.wanted = True
        await volumes.load()
        made.publish(pack(compiled(*fleet.documents), term))
        made.set_pods(fleet.pods)
        holders = [merit.parts.holder for merit in fleet.gateways.values()]
        await eventually(lambda: all(holder.version for holder in holders), "no snapshot", 20)
        yield made
    finally:
        await made.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods are asked every 50 ms, not every 10 s."""
    Clock(monkeypatch).set("2026-06-01T00:00:00Z")
    monkeypatch.setattr(push, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(push, "_FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(push, "_FAREWELL_SECONDS", 0.05)


async def draws(merit: Running, times: int) -> None:
    for _ in range(times):
        assert (await asked(merit))["who"] == "dear"


@pytest.mark.asyncio(loop_scope="session")
async def test_what_one_pod_draws_all_know(tmp_path: Path) -> None:
    async with kube() as (_, client), fleet(3, tmp_path) as pods, leader(pods, FleetVolumes(client, "merit", "merit")):
        for place, merit in enumerate(pods.gateways.values()):
            await draws(merit, 5 + 10 * place)
        await pods.all_know(45 * 2 * USD // 100)
        first, *_, last = pods.gateways.values()
        await draws(last, 5)
        await pods.all_know(USD)
        assert (await asked(first))["who"] == "cheap"  # though it drew 0.1 USD alone


class Deaf(PodClient):
    """Of whose answers every second one is lost after the pod has given it."""

    lost = 0

    async def volumes(self, pod: Pod, volumes: Volumes) -> Ack | Nack:
        answer = await super().volumes(pod, volumes)
        Deaf.lost += 1
        if Deaf.lost % 2:
            raise UnreachableError("the answer was lost")
        return answer


@pytest.mark.asyncio(loop_scope="session")
async def test_lost_answers_count_nothing_twice(tmp_path: Path) -> None:
    async with (
        kube() as (_, client),
        fleet(2, tmp_path, Deaf) as pods,
        leader(pods, FleetVolumes(client, "merit", "merit")),
    ):
        for _ in range(4):
            for merit in pods.gateways.values():
                await draws(merit, 3)
        await pods.all_know(24 * 2 * USD // 100)
        assert Deaf.lost > 2


@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_pod_drew_outlives_it_and_its_leader(tmp_path: Path) -> None:
    async with kube() as (fake, client), fleet(2, tmp_path) as pods:
        volumes = FleetVolumes(client, "merit", "merit")
        async with contextlib.AsyncExitStack() as life, leader(pods, volumes) as publisher:
            short = await pods.start("127.0.0.9", life)
            publisher.set_pods(pods.pods)
            await eventually(lambda: bool(short.parts.holder.version), "no snapshot", 20)
            await draws(short, 10)
            await draws(pods.gateways["127.0.0.2"], 1)
            await pods.all_know(11 * 2 * USD // 100)
            await volumes.store(lambda: True)
            del pods.gateways["127.0.0.9"]
            publisher.set_pods(pods.pods)
        stored = fake.objects[CONFIG_MAP]
        await volumes.store(lambda: True)  # nothing has changed: nothing is written
        assert fake.objects[CONFIG_MAP] is stored
        await pods.start("127.0.0.10")  # a new pod, a new leader that has only what the cluster keeps
        await draws(pods.gateways["127.0.0.2"], 2)
        async with leader(pods, FleetVolumes(client, "merit", "merit"), term=2):
            await pods.all_know(13 * 2 * USD // 100)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_pod_that_is_taken_out_is_asked_to_the_last(tmp_path: Path) -> None:
    async with (
        kube() as (_, client),
        fleet(2, tmp_path) as pods,
        leader(pods, FleetVolumes(client, "merit", "merit")) as publisher,
    ):
        await pods.all_know(0)
        gone = pods.gateways.pop("127.0.0.2")
        publisher.set_pods(pods.pods)  # it is terminating, and goes on with what it has begun
        await draws(gone, 4)
        await pods.all_know(4 * 2 * USD // 100)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_leader_tells_nothing_before_it_knows_what_the_cluster_keeps(tmp_path: Path) -> None:
    async with kube() as (fake, client):
        volumes = FleetVolumes(client, "merit", "merit")
        volumes.wanted = True
        volumes.hear(Ack(version="v", term=1, process="p", used=(Used(KEY, START, "p", "7"),)))
        assert volumes.told("q", term=1, pods=1) is None
        await volumes.store(lambda: True)
        assert CONFIG_MAP not in fake.objects  # nor does it overwrite it
        fake.objects[CONFIG_MAP] = {"binaryData": {"counts": "bm90IGd6aXA="}}  # damaged
        await volumes.load()
        told = volumes.told("q", term=1, pods=4)
        assert told is not None
        assert (told.share, [other.units for other in told.others]) == (0.25, ["7"])
        assert volumes.told("p", term=1, pods=1) == Volumes(1, 1.0, (told.others[0].__class__(KEY, START, "0"),))
        assert volumes.told("", term=1, pods=1) is None
        volumes.hear(Ack(version="v", term=1, process="p", used=(Used(KEY, START, "p", "much"),)))
        await volumes.store(lambda: False)  # deposed meanwhile
        assert fake.objects[CONFIG_MAP]["binaryData"]["counts"] == "bm90IGd6aXA="


@pytest.mark.asyncio(loop_scope="session")
async def test_a_deposed_leaders_word_and_figures_that_cant_be_are_refused(tmp_path: Path) -> None:
    async with fleet(1, tmp_path) as pods:
        (pod,) = pods.pods
        merit = pods.gateways[pod.address]
        merit.parts.holder.term = 5
        stale = await pods.client.volumes(pod, Volumes(4, 1.0))
        assert isinstance(stale, Nack)
        assert stale.rejection == "StaleTerm"
        wrong = await pods.client.volumes(pod, Volumes(5, 0.0))
        assert isinstance(wrong, Nack)
        assert wrong.message == "share: must be above 0 and at most 1 (is 0.0)"
        fine = await pods.client.volumes(pod, Volumes(5, 0.5))
        assert isinstance(fine, Ack)


@pytest.mark.asyncio(loop_scope="session")
async def test_pods_of_before_commitments_are_asked_as_ever(tmp_path: Path) -> None:
    async with running(1, tmp_path) as (pods, client):
        answer = await client.volumes(pods[0].pod, Volumes(1, 1.0))
        assert isinstance(answer, Ack)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_status_says_what_is_left_in_whole_percent() -> None:
    async with kube() as (_, client):
        volumes = FleetVolumes(client, "merit", "merit")
        terms = 'expires: "2027-01-01T00:00:00Z"\n      volume: {prepaid: "1"}'
        result = compiled(provider("dear", "https://a.example/v1"), committed(terms), CONSUMER)
        volumes.hear(Ack(version="v", term=1, process="p", used=(Used(KEY, START, "p", str(USD * 2 // 3)),)))
        left = volumes.shown(result.snapshot, START + 5.0)
        assert left == {"default/dear": [{"name": "deal", "remaining": "34 %", "periodEnds": "2027-01-01T00:00:00Z"}]}
        assert volumes.shown(result.snapshot, START - 5.0) == {}
        (status,) = (s for i, s in result.statuses.items() if i.kind == "ProviderPricing")
        delivery = Delivery(result.version, {}, {}, volumes=left)
        document: dict[str, Any] = status_document(status, delivery, old={}, propagation="", now="2026-06-01T00:00:00Z")
        assert document["commitments"] == left["default/dear"]


reports = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=40)


@quick
@given(reports, st.randoms())
def test_reports_in_any_order_and_number_make_the_same_sum(steps: list[tuple[str, int]], random: Any) -> None:
    drawn: dict[str, int] = {}
    told = []
    for process, more in steps:
        drawn[process] = drawn.get(process, 0) + more
        told.append(Used(KEY, START, process, str(drawn[process])))
    shuffled = [*told, *told]
    random.shuffle(shuffled)
    tally = Tally(shuffled)
    assert tally.total(KEY, START) == sum(drawn.values())
    assert tally.total(KEY, START, but="a") == sum(drawn.values()) - drawn.get("a", 0)
    assert Tally(tally.counts()).counts() == tally.counts()
