"""Which endpoints are pods to push to."""

from typing import Any

from merit_operator.discovery import Pod, pods_of


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"name": f"pod-{address}"}}


def test_ready_is_no_condition_and_terminating_is_one() -> None:
    slices: list[dict[str, Any]] = [
        {"endpoints": [endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=False)]},
        {"endpoints": [endpoint("10.0.0.3", ready=False, terminating=True)]},
        {"endpoints": None},
    ]
    assert pods_of(slices) == {Pod("pod-10.0.0.1", "10.0.0.1"), Pod("pod-10.0.0.2", "10.0.0.2")}


def test_ipv6_addresses_are_bracketed() -> None:
    assert Pod("a", "fd00::1").host == "[fd00::1]"


def test_a_pod_of_a_dual_stack_service_counts_once() -> None:
    name = {"targetRef": {"name": "pod-a"}, "conditions": {}}
    slices: list[dict[str, Any]] = [
        {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"], **name}]},
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], **name}]},
    ]
    assert pods_of(slices) == {Pod("pod-a", "10.0.0.1")}
