"""Real operators against a real API server, pushing to real data-plane pods. The tests run in this order."""

import asyncio
import json
import signal
import statistics
import time
from functools import partial

import pytest

from merit_crds.compile import compile_resources
from merit_crds.push import Nack, Rejection
from merit_crds.resources import ResourceSet
from merit_operator.discovery import Pod
from merit_operator.push.parcel import pack
from merit_operator.push.session import PodClient
from tests.cluster.conftest import ADMIN_PORT, SYSTEM, Control, until
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route, route_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
KINDS = ("provider", "providerpricing", "modelroute", "consumer")
BROKEN = "[{name: all, when: [{lastMessage: '(unclosed'}], candidates: [{provider: {name: a}, model: a-model}]}, "
BROKEN += "{name: rest, candidates: [{provider: {name: a}, model: a-model}]}]"
"""An RE2 pattern that is none passes the schema, not compile."""


def everything() -> list[str]:
    both = [
        d for n, usd in (("a", "1"), ("b", "2")) for d in (provider(n, f"https://{n}.test/v1"), prices(n, usd, usd))
    ]
    return [*both, route("a", "b"), CONSUMER]


def changed(control: Control, before: set[str]) -> bool:
    return control.versions().isdisjoint(before)


def test_what_is_applied_is_served_and_said_so(control: Control) -> None:
    control.apply(*everything())
    control.operator("operator-1")
    control.operator("operator-2")
    for kind, name in (("provider", "a"), ("providerpricing", "b"), ("modelroute", "chat"), ("consumer", "tests")):
        until(f"{kind} is programmed", partial(control.is_programmed, kind, name))
    status = control.get("modelroute", "chat")["status"]
    assert status["programmed"] == "3/3"
    assert control.versions() == {next(iter(control.versions()))}
    assert next(iter(control.versions())).startswith(status["snapshot"])
    assert status["cheapest"] == "a/a-model"
    assert [r["provider"] for r in status["meritOrder"]] == ["default/a", "default/b"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
        ("Accepted", "ResolvedRefs", "Programmed", "Ready"), "True"
    )


def test_a_price_reaches_every_pod_within_a_second(control: Control) -> None:
    took = []
    for i in range(12):
        before = control.versions()
        patch = json.dumps([{"op": "replace", "path": "/spec/models/0/prices/input", "value": f"0.{i + 10}"}])
        control.cluster.kubectl("patch", "providerpricing", "a", "--type=json", "-p", patch)
        patched = time.monotonic()
        until("every pod has it", partial(changed, control, before), every=0.002)
        took.append(time.monotonic() - patched)
        time.sleep(0.3)
    print(f"\nkubectl patch -> last ACK: median {statistics.median(took):.3f} s, all {[f'{t:.3f}' for t in took]}")
    assert statistics.median(took) < 0.5
    assert max(took) < 1
    until("it is said so", lambda: control.is_programmed("providerpricing", "a"))
    assert 0 <= float(control.get("providerpricing", "a")["status"]["propagationSeconds"]) < 3


def test_annotations_and_statuses_push_nothing(control: Control) -> None:
    leader = control.leader()
    time.sleep(1)
    pushes = leader.metric('merit_operator_pushes_total{outcome="ack"}')
    compiles = leader.metric("merit_operator_compile_seconds_count")
    for i in range(5):
        control.cluster.kubectl("annotate", "--overwrite", ",".join(KINDS), "--all", f"note=n{i}")
    for kind in KINDS:
        control.cluster.kubectl("annotate", kind, "--all", "note-")
    time.sleep(1.5)
    assert leader.metric('merit_operator_pushes_total{outcome="ack"}') == pushes
    assert leader.metric("merit_operator_compile_seconds_count") == compiles


def test_a_status_that_others_remove_comes_back(control: Control) -> None:
    control.cluster.kubectl(
        "patch", "provider", "b", "--subresource=status", "--type=json", "-p", '[{"op": "remove", "path": "/status"}]'
    )
    until("its status is back", lambda: control.is_programmed("provider", "b"))
    control.cluster.kubectl("replace", "--force", "-f", "-", input=provider("b", "https://b.test/v1"))
    until("an object that was made again has one", lambda: control.is_programmed("provider", "b"))


def test_a_broken_route_keeps_its_last_good_form_over_a_restart(control: Control) -> None:
    control.apply(route("a", model="other", name="other"))
    until("it is programmed", lambda: control.is_programmed("modelroute", "other"))
    control.apply(route_of(BROKEN, model="other", name="other"))
    until(
        "its status says why", lambda: "RE2" in control.condition("modelroute", "other", "Accepted").get("message", "")
    )
    assert control.condition("modelroute", "other", "Programmed")["reason"] == "NotInSnapshot"
    for operator in control.operators.values():
        assert operator.end(signal.SIGTERM) == 0
    assert control.lease()[0] == "", "a clean end releases the Lease"
    for name in list(control.operators):
        control.operator(name)
    control.apply(prices("b", "3", "3"))
    until("others go on", lambda: control.is_programmed("providerpricing", "b"))
    assert control.condition("modelroute", "other", "Accepted")["status"] == "False"
    assert "default/other" in snapshot_of(control)["routes"], "the last good form outlives the operators"
    control.apply(route("a", model="other", name="other"))
    until("it recovers", lambda: control.is_programmed("modelroute", "other"))
    reasons = {e["reason"] for e in control.get("events")["items"] if e["involvedObject"]["name"] == "other"}
    assert {"Invalid", "Accepted"} <= reasons


def snapshot_of(control: Control) -> dict[str, dict[str, object]]:
    async def ask() -> bytes:
        client = PodClient(port=ADMIN_PORT, token_file=control.folder / "token", tls_ca=None)
        try:
            return await client.snapshot(Pod(control.pods[0].name, control.pods[0].address))
        finally:
            await client.close()

    return dict(json.loads(asyncio.run(ask())))


def test_a_secret_is_rotated_removed_and_back(control: Control) -> None:
    before = control.versions()
    rotate = '{"stringData": {"key": "sk-rotated-0123456789"}}'
    control.cluster.kubectl("patch", "secret", "provider-keys", "-p", rotate)
    took = until("pods have the new key", lambda: control.versions().isdisjoint(before), seconds=5)
    print(f"\nkubectl patch secret -> last ACK: {took:.3f} s")
    assert took < 2
    control.cluster.kubectl("delete", "secret", "provider-keys")
    until(
        "its loss is told", lambda: control.condition("provider", "a", "ResolvedRefs").get("reason") == "SecretNotFound"
    )
    assert control.condition("consumer", "tests", "Ready")["status"] in ("True", "False")
    control.apply(CONSUMER)
    until("it is taken back", lambda: control.is_programmed("modelroute", "chat"))


def test_a_pod_that_lost_its_snapshot_gets_it_again(control: Control) -> None:
    version = control.versions()
    pod = control.pods[0]
    pod.stop()
    pod.start()
    took = until("it serves again", lambda: control.versions() == version, seconds=15)
    print(f"\na restarted pod that nobody told of was served after {took:.1f} s")


def test_the_leader_is_killed(control: Control) -> None:
    name, term = control.lease()
    control.leader().end()
    took = until("another leads", lambda: control.lease()[0] not in ("", name), seconds=30)
    print(f"\nanother led {took:.1f} s after the leader was killed")
    assert control.lease()[1] > term
    until("pods know it", lambda: all(p.ack().term == control.lease()[1] for p in control.pods))
    control.apply(prices("a", "0.2", "0.2"))
    until("it programs", lambda: control.is_programmed("providerpricing", "a"))
    control.operator(name)


def test_a_leader_that_was_frozen_is_refused(control: Control) -> None:
    frozen, (name, term) = control.leader(), control.lease()
    stale = pack(compile_resources(ResourceSet({})), term)
    frozen.send(signal.SIGSTOP)
    until("another leads", lambda: control.lease()[0] not in ("", name), seconds=30)
    control.apply(prices("a", "0.3", "0.3"))
    until("it programs", lambda: control.is_programmed("providerpricing", "a"))
    version = control.versions()
    frozen.send(signal.SIGCONT)
    until("it knows", lambda: frozen.metric("merit_operator_leader") == 0)
    time.sleep(1.5)
    assert control.versions() == version
    assert {p.ack().term for p in control.pods} == {control.lease()[1]}
    assert frozen.get("/livez") == "ok\n"

    async def push() -> object:
        client = PodClient(port=ADMIN_PORT, token_file=control.folder / "token", tls_ca=None)
        try:
            return await client.push(Pod(control.pods[0].name, control.pods[0].address), stale)
        finally:
            await client.close()

    answer = asyncio.run(push())
    assert isinstance(answer, Nack)
    assert answer.rejection is Rejection.STALE_TERM


def test_what_is_deleted_while_nobody_watches_disappears(control: Control) -> None:
    control.apply(provider("ghost", "https://ghost.test/v1"))
    until("it is programmed", lambda: control.is_programmed("provider", "ghost"))
    for operator in control.operators.values():
        operator.send(signal.SIGSTOP)
    control.cluster.stop_apiserver()
    control.cluster.start_apiserver()
    control.cluster.kubectl("delete", "provider", "ghost")
    for operator in control.operators.values():
        operator.send(signal.SIGCONT)
    took = until("pods no longer have it", lambda: "default/ghost" not in snapshot_of(control)["providers"], seconds=40)
    print(f"\nan object that was deleted in a gap of the watch was gone after {took:.1f} s")


def test_the_api_server_is_away(control: Control) -> None:
    version = control.versions()
    control.cluster.stop_apiserver()
    time.sleep(35)  # longer than a loop that waited for it would be called alive
    for operator in control.operators.values():
        assert operator.get("/livez") == "ok\n"
        assert operator.get("/readyz") == "ok\n"
    assert control.versions() == version
    control.cluster.start_apiserver()
    control.apply(prices("a", "0.4", "0.4"))
    took = until("it programs", lambda: control.is_programmed("providerpricing", "a"), seconds=30)
    print(f"\na change was programmed {took:.1f} s after the API server was back")


def test_nothing_is_left_in_users_objects_and_no_secret_in_logs(control: Control) -> None:
    for kind in KINDS:
        for item in control.get(kind)["items"]:
            assert "finalizers" not in item["metadata"]
            annotations = set(item["metadata"].get("annotations", {}))
            assert annotations <= {"kubectl.kubernetes.io/last-applied-configuration"}
            managers = {f["manager"]: f.get("subresource") for f in item["metadata"]["managedFields"]}
            assert managers["merit-operator"] == "status"
    copies = json.dumps(control.get("configmap", "-n", SYSTEM))
    assert "merit-last-good-0" in copies
    for operator in control.operators.values():
        for line in operator.log.splitlines():
            json.loads(line)
        for value in (PROVIDER_KEY, CONSUMER_KEY, "sk-rotated-0123456789", "push-token-of"):
            assert value not in operator.log
            assert value not in operator.get("/metrics")
            assert value not in copies
