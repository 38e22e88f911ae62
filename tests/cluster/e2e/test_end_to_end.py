"""Merit on a real Kubernetes: kubelet, containerd, kube-proxy, two operators, three data-plane pods, the OpenAI SDK.

The tests share one installation and run in this order.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest
from openai import AsyncOpenAI

from tests.cluster.e2e import manifests
from tests.cluster.e2e.installation import IMAGE_DATAPLANE, SYSTEM, Installation, wait_until
from tests.cluster.e2e.manifests import CONSUMER_KEY, MODEL, NAMESPACE
from tests.cluster.e2e.shop import shop
from tests.cluster.e2e.traffic import Seen, client, plain, steady

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def merit() -> Iterator[Installation]:
    """The chart installed, simulated vendors and resources applied, everything programmed."""
    with shop() as installation:
        yield installation


def is_programmed(merit: Installation, kind: str, name: str) -> bool:
    """One of the shop's."""
    return merit.is_programmed(kind, name, NAMESPACE)


def billed_right(seen: Seen, lists: list[dict[str, tuple[str, str]]]) -> bool:
    """The cost of an answer is that of one whole price list for the provider that answered."""
    for prices in lists:
        rate_in, rate_out = (Decimal(price) for price in prices[seen.provider])
        cost = (seen.prompt_tokens * rate_in + seen.completion_tokens * rate_out) / 1_000_000
        if abs(cost - Decimal(str(seen.cost))) < Decimal("1e-12"):
            return True
    return False


def test_pods_and_columns(merit: Installation) -> None:
    assert len(merit.pods("operator")) == 2
    assert len(merit.pods("dataplane")) == 3
    text = merit.cluster.kubectl("get", "modelroutes,providers,providerpricings,consumers", "-n", NAMESPACE)
    assert "3/3" in text
    assert "alpha/alpha-large" in text
    for pod in merit.pods("dataplane") + merit.pods("operator"):
        context = pod["spec"]["containers"][0]["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False


def test_data_plane_image_is_slim(merit: Installation) -> None:
    pod = merit.pods("dataplane")[0]["metadata"]["name"]
    code = "import importlib.util as u,os; print([u.find_spec(m) for m in ('kopf','kubernetes')], os.getuid())"
    out = merit.cluster.kubectl("exec", "-n", SYSTEM, pod, "--", "python3", "-c", code)
    assert out.startswith("[None, None] ")
    assert out.split()[-1] != "0"


async def test_cheapest_answers_plain_and_streamed(merit: Installation) -> None:
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20, stream_share=0.5) as traffic:
        await traffic.until(40)
    assert traffic.failures == []
    assert {s.provider for s in traffic.seen} == {"alpha"}
    assert any(s.stream for s in traffic.seen)
    assert all(billed_right(s, [manifests.PRICES]) for s in traffic.seen)


async def test_price_cut_moves_every_pod_within_a_second(merit: Installation) -> None:
    cut = {**manifests.PRICES, "beta": ("0.09", "0.36")}
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=40, stream_share=0.2) as traffic:
        await traffic.until(80)
        await asyncio.to_thread(merit.apply, manifests.pricing("beta", cut["beta"]))
        applied = time.monotonic()
        await asyncio.sleep(3)
    assert traffic.failures == []
    assert all(billed_right(s, [manifests.PRICES, cut]) for s in traffic.seen), "an answer mixes two price lists"
    late = [s.started - applied for s in traffic.seen if s.provider == "alpha" and s.started > applied]
    print(f"\nlast request dispatched by the old prices started {max(late, default=0):.3f} s after kubectl returned")
    assert max(late, default=0) < 1
    assert {s.provider for s in traffic.seen if s.started > applied + 1} == {"beta"}
    by_version = {(s.snapshot, s.provider) for s in traffic.seen}
    assert len({snapshot for snapshot, _ in by_version}) == len(by_version), "one snapshot has one order"
    wait_until("beta is programmed", lambda: is_programmed(merit, "providerpricing", "beta"))
    status = merit.get("providerpricing", "beta", "-n", NAMESPACE)["status"]
    assert status["programmed"] == "3/3"
    assert float(status["propagationSeconds"]) >= 0
    wait_until(
        "the route's status shows the new cheapest",
        lambda: merit.get("modelroute", MODEL, "-n", NAMESPACE)["status"]["cheapest"].endswith("beta/beta-large"),
    )


async def test_a_price_that_slips_is_held_back_until_it_is_meant(merit: Installation) -> None:
    slip = ("0.003", "0.012")  # a hundredth: dollars written for cents
    merit.apply(manifests.pricing("gamma", slip))

    def reasons() -> set[str]:
        conditions = merit.get("providerpricing", "gamma", "-n", NAMESPACE)["status"]["conditions"]
        return {condition["reason"] for condition in conditions}

    wait_until("the status says why", lambda: "PriceMoved" in reasons())
    accepted = merit.condition("providerpricing", "gamma", NAMESPACE, "Accepted")
    assert "goes from 0.3 to 0.003 USD" in accepted["message"]
    wait_until("an Event says so", lambda: any(e["reason"] == "PriceMoved" for e in merit.events(NAMESPACE, "gamma")))
    async with client(merit.url(), CONSUMER_KEY) as openai:
        assert "gamma" not in {(await plain(openai, MODEL, 0.0)).provider for _ in range(12)}
        meant = ", annotations: {merit.dev/accept-price-moves: '*'}"
        await asyncio.to_thread(merit.apply, manifests.pricing("gamma", slip, metadata=meant))
        await asyncio.to_thread(wait_until, "it serves", lambda: is_programmed(merit, "providerpricing", "gamma"))
        assert {(await plain(openai, MODEL, 0.0)).provider for _ in range(12)} == {"gamma"}
    merit.apply(manifests.pricing("gamma", manifests.PRICES["gamma"], metadata=meant))
    wait_until("the old price is back", lambda: is_programmed(merit, "providerpricing", "gamma"))


async def test_a_price_changes_by_the_clock(merit: Installation) -> None:
    """Nobody applies anything at that second: pods go by their clocks, and the operator renews the statuses."""
    at = int(time.time()) + 12
    instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    period = f'periods: [{{validFrom: "{instant}", prices: {{input: "0.05", output: "0.20"}}}}]'
    merit.apply(manifests.pricing("gamma", manifests.PRICES["gamma"], more=period))
    wait_until("every pod has it", lambda: is_programmed(merit, "providerpricing", "gamma"), seconds=8)
    clocks = time.time() - time.monotonic()
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20, stream_share=0.0) as traffic:
        await asyncio.sleep(at + 2 - time.time())
    assert traffic.failures == []
    before = {s.provider for s in traffic.seen if s.ended + clocks < at}
    after = {s.provider for s in traffic.seen if s.started + clocks > at}
    assert before <= {"alpha", "beta"}  # close to each other: how long their answers are decides
    assert after == {"gamma"}
    assert len({s.snapshot for s in traffic.seen}) == 1, "something was pushed at that second"
    wait_until(
        "the route's status shows the new cheapest",
        lambda: merit.get("modelroute", MODEL, "-n", NAMESPACE)["status"]["cheapest"].endswith("gamma/gamma-large"),
    )
    merit.apply(manifests.pricing("gamma", manifests.PRICES["gamma"]))
    wait_until("the old list is back", lambda: is_programmed(merit, "providerpricing", "gamma"))


async def test_secret_rotation_is_in_use_within_two_seconds(merit: Installation) -> None:
    merit.apply(manifests.vendor("beta", IMAGE_DATAPLANE, [manifests.KEYS["beta"], "sk-beta-key-2"]))
    merit.cluster.kubectl("rollout", "status", "deployment/beta", "-n", NAMESPACE, "--timeout=60s")
    async with client(merit.url(), CONSUMER_KEY) as openai:
        await answers_again(openai, "beta")  # its rollout may have opened circuits
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20) as traffic:
        await traffic.until(20)
        before = traffic.seen[-1].snapshot
        await asyncio.to_thread(merit.apply, manifests.secret("beta", "sk-beta-key-2"))
        applied = time.monotonic()
        await asyncio.sleep(4)
    assert traffic.failures == []
    old = [s.started - applied for s in traffic.seen if s.snapshot == before]
    print(f"\nlast request with the old key started {max(old):.3f} s after kubectl returned")
    assert max(old) < 2
    assert traffic.seen[-1].provider == "beta"


async def answers_again(openai: AsyncOpenAI, provider: str) -> None:
    """Waits until thirty answers in a row, those of every pod among them, come from `provider`."""
    in_a_row, started = 0, time.monotonic()
    while in_a_row < 30:
        seen = await plain(openai, MODEL, time.monotonic())
        in_a_row = in_a_row + 1 if seen.provider == provider else 0
        assert time.monotonic() - started < 90, f"{seen.provider} answers, not {provider}"
        await asyncio.sleep(0.05)


async def test_rolling_restart_of_the_data_plane(merit: Installation) -> None:
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=50) as traffic:
        await traffic.until(50)
        await asyncio.to_thread(merit.cluster.kubectl, "rollout", "restart", "deployment/merit-dataplane", "-n", SYSTEM)
        await asyncio.to_thread(
            merit.cluster.kubectl, "rollout", "status", "deployment/merit-dataplane", "-n", SYSTEM, "--timeout=180s"
        )
        await traffic.until(max(2000, len(traffic.seen) + 100))
    assert len(traffic.seen) >= 2000
    assert traffic.failures == []


async def test_leader_is_deleted(merit: Installation) -> None:
    leader = merit.leader()
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20) as traffic:
        await asyncio.to_thread(merit.cluster.kubectl, "delete", "pod", leader, "-n", SYSTEM, "--wait=false")
        took = await asyncio.to_thread(
            wait_until, "another leads", lambda: merit.leader() not in ("", leader), seconds=60
        )
        await asyncio.to_thread(merit.apply, manifests.pricing("alpha", ("0.05", "0.20")))
        await asyncio.to_thread(
            wait_until, "the new leader programs", lambda: is_programmed(merit, "providerpricing", "alpha"), seconds=60
        )
        last = await plain(openai, MODEL, time.monotonic())
    print(f"\nanother operator led after {took:.1f} s")
    assert traffic.failures == []
    assert last.provider == "alpha"


async def test_a_leader_that_stood_still_changes_nothing(merit: Installation) -> None:
    wait_until("two operators run", lambda: len(merit.pods("operator")) == merit.processes("operator") == 2)
    leader = merit.leader()
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20) as traffic:
        merit.signal(leader, signal.SIGSTOP)
        try:
            took = await asyncio.to_thread(
                wait_until, "another leads", lambda: merit.leader() not in ("", leader), seconds=60
            )
            await asyncio.to_thread(merit.apply, manifests.pricing("alpha", ("0.045", "0.18")))
            await asyncio.to_thread(
                wait_until, "it programs", lambda: is_programmed(merit, "providerpricing", "alpha"), seconds=60
            )
            programmed = time.monotonic()
        finally:
            merit.signal(leader, signal.SIGCONT)
        await asyncio.sleep(5)
        woken = time.monotonic()
        assert merit.leader() != leader
        assert "merit_operator_leader 0.0" in merit.operator_metrics(leader)
        await asyncio.to_thread(merit.apply, manifests.pricing("alpha", ("0.05", "0.20")))
        await asyncio.to_thread(
            wait_until, "the new leader goes on", lambda: is_programmed(merit, "providerpricing", "alpha"), seconds=60
        )
    print(f"\nanother operator led {took:.1f} s after the leader stood still")
    assert traffic.failures == []
    versions = list(dict.fromkeys(s.snapshot for s in traffic.seen))
    assert len(versions) == 3, "before, while it stood still, and after: nothing that it pushed when it woke"
    assert {s.snapshot for s in traffic.seen if programmed < s.started < woken} == {versions[1]}


async def test_broken_route_takes_nothing_with_it(merit: Installation) -> None:
    merit.apply(manifests.route("other", ("other-chat",), {"gamma": "gamma-large"}))
    wait_until("other is programmed", lambda: is_programmed(merit, "modelroute", "other"))
    # an RE2 pattern that is none passes the schema, not the compiler
    broken = manifests.route("other", ("other-chat",), {"gamma": "gamma-large"}).replace(
        "  tiers:\n", "  tiers:\n    - name: first\n      when: [{lastMessage: '(unclosed'}]\n      candidates:\n"
        "        - {provider: {name: gamma}, model: gamma-large}\n"
    )  # fmt: skip
    merit.apply(broken)
    wait_until(
        "status says why",
        lambda: "RE2" in merit.condition("modelroute", "other", NAMESPACE, "Accepted").get("message", ""),
    )
    wait_until(
        "an Event says so too",
        lambda: any(e["type"] == "Warning" and "RE2" in e["message"] for e in merit.events(NAMESPACE, "other")),
    )
    async with client(merit.url(), CONSUMER_KEY) as openai:
        assert (await plain(openai, "other-chat", time.monotonic())).provider == "gamma", "the last good form serves"
        assert (await plain(openai, MODEL, time.monotonic())).provider == "alpha"
    merit.cluster.kubectl("rollout", "restart", "deployment/merit-operator", "-n", SYSTEM)
    merit.cluster.kubectl("rollout", "status", "deployment/merit-operator", "-n", SYSTEM, "--timeout=90s")
    merit.apply(manifests.pricing("gamma", ("0.31", "1.21")))
    wait_until("other changes go on", lambda: is_programmed(merit, "providerpricing", "gamma"))
    async with client(merit.url(), CONSUMER_KEY) as openai:
        seen = await plain(openai, "other-chat", time.monotonic())
        assert seen.provider == "gamma", "the last good form outlives the operator"
    merit.apply(manifests.route("other", ("other-chat",), {"gamma": "gamma-large"}))
    wait_until("it recovers", lambda: is_programmed(merit, "modelroute", "other"))
    wait_until(
        "an Event says so too", lambda: any(e["message"] == "Accepted again" for e in merit.events(NAMESPACE, "other"))
    )


async def test_api_server_away_for_thirty_seconds(merit: Installation) -> None:
    url = merit.url()
    async with client(url, CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20) as traffic:
        await asyncio.to_thread(merit.cluster.stop_apiserver)
        await asyncio.sleep(30)
        await asyncio.to_thread(merit.cluster.start_apiserver)
        await asyncio.sleep(2)
    assert traffic.failures == []
    assert len(traffic.seen) > 500
    merit.apply(manifests.pricing("alpha", ("0.04", "0.16")))
    wait_until("changes are programmed again", lambda: is_programmed(merit, "providerpricing", "alpha"), seconds=60)


def test_new_pod_serves_while_the_operator_is_away(merit: Installation) -> None:
    merit.cluster.kubectl("scale", "deployment/merit-operator", "-n", SYSTEM, "--replicas=0")
    wait_until("no operator is left", lambda: merit.processes("operator") == 0, seconds=60)
    victim = merit.pods("dataplane")[0]["metadata"]["name"]
    merit.cluster.kubectl("delete", "pod", victim, "-n", SYSTEM, "--wait=false")
    took = wait_until("three pods are ready again", lambda: ready_pods(merit, without=victim) == 3, seconds=90)
    print(f"\na new pod was ready {took:.1f} s after its predecessor was deleted, without an operator")
    merit.cluster.kubectl("scale", "deployment/merit-operator", "-n", SYSTEM, "--replicas=2")
    merit.cluster.kubectl("rollout", "status", "deployment/merit-operator", "-n", SYSTEM, "--timeout=90s")


def ready_pods(merit: Installation, without: str = "") -> int:
    """Data-plane pods that are ready."""
    pods = [p for p in merit.pods("dataplane") if p["metadata"]["name"] != without]
    return sum(c["status"] == "True" for p in pods for c in p["status"].get("conditions", []) if c["type"] == "Ready")


def test_pods_without_any_snapshot_are_not_ready(merit: Installation) -> None:
    # no pod is left that mounts the last good copy: the kubelet may keep one from its cache for another
    for component in ("operator", "dataplane"):
        merit.cluster.kubectl("scale", f"deployment/merit-{component}", "-n", SYSTEM, "--replicas=0")
    wait_until("none is left", lambda: merit.processes("operator") + merit.processes("dataplane") == 0, seconds=60)
    names = [
        f"{kind}/{item['metadata']['name']}"
        for kind in ("configmap", "secret")
        for item in merit.get(kind, "-n", SYSTEM)["items"]
        if "last-good" in item["metadata"]["name"]
    ]
    merit.cluster.kubectl("delete", "-n", SYSTEM, *names)
    merit.cluster.kubectl("scale", "deployment/merit-dataplane", "-n", SYSTEM, "--replicas=3")
    wait_until("three pods run", lambda: running(merit) == 3, seconds=90)
    time.sleep(5)
    assert ready_pods(merit) == 0
    merit.cluster.kubectl("scale", "deployment/merit-operator", "-n", SYSTEM, "--replicas=2")
    wait_until("ready after their first snapshot", lambda: ready_pods(merit) == 3, seconds=90)


def running(merit: Installation) -> int:
    """Data-plane pods whose container has started."""
    statuses = [c for p in merit.pods("dataplane") for c in p["status"].get("containerStatuses", [])]
    return sum("running" in c["state"] for c in statuses)


async def test_helm_upgrade_with_a_crd_change(merit: Installation) -> None:
    merit.cluster.kubectl("annotate", "crd", "modelroutes.merit.dev", "merit.dev/probe=old", "--overwrite")
    merit.cluster.kubectl(
        "patch", "crd", "modelroutes.merit.dev", "--type=json",
        "-p", '[{"op": "replace", "path": "/spec/names/shortNames", "value": ["oldroute"]}]',
    )  # fmt: skip
    async with client(merit.url(), CONSUMER_KEY) as openai, steady(openai, MODEL, rate=20) as traffic:
        await asyncio.to_thread(merit.install, "--set", "dataplane.podAnnotations.probe=upgraded")
    assert traffic.failures == []
    assert merit.get("crd", "modelroutes.merit.dev")["spec"]["names"]["shortNames"] != ["oldroute"]
    assert Counter(p["metadata"]["annotations"].get("probe") for p in merit.pods("dataplane")) == {"upgraded": 3}


def test_uninstall_leaves_nothing_stuck(merit: Installation) -> None:
    for resource in merit.get("modelroutes,providers,providerpricings,consumers", "-n", NAMESPACE)["items"]:
        assert "finalizers" not in resource["metadata"]
        annotations = set(resource["metadata"].get("annotations", {}))
        assert annotations <= {"kubectl.kubernetes.io/last-applied-configuration"}
    merit.cluster.helm("uninstall", "merit", "--namespace", SYSTEM, "--wait", "--timeout", "120s")
    merit.cluster.kubectl("delete", "namespace", NAMESPACE, SYSTEM, "--timeout=120s")
