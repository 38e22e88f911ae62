"""Statuses as a table: compile's word and the pods' acknowledgements to conditions."""

from collections import Counter
from typing import Any

import pytest

from merit_crds.compile import Force, ResourceStatus
from merit_crds.conditions import Condition, ConditionType, Reason
from merit_crds.resources import ResourceId
from merit_operator.status.document import Delivery, status_document
from merit_operator.status.events import flips

ID = ResourceId("Provider", "ns", "a")
NOW, EARLIER = "2026-11-24T04:00:00Z", "2026-11-24T03:00:00Z"


def status(force: Force = Force.CURRENT, *, accepted: bool = True) -> ResourceStatus:
    kind, reason = ConditionType.ACCEPTED, Reason.ACCEPTED if accepted else Reason.INVALID
    return ResourceStatus(
        id=ID,
        generation=2,
        force=force,
        accepted=Condition(kind, "True" if accepted else "False", reason, "" if accepted else "spec.x: is wrong"),
        resolved_refs=Condition(ConditionType.RESOLVED_REFS, "True", Reason.RESOLVED_REFS),
    )


def delivery(*pods: str, refusal: str = "") -> Delivery:
    return Delivery("v2" * 32, Counter(pods), {"v2" * 32: {ID: 2}, "also-v2": {ID: 2}, "v1": {ID: 1}}, refusal)


def condition(document: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in document["conditions"] if c["type"] == kind)
    return found


@pytest.mark.parametrize(
    ("force", "pods", "refusal", "expected"),
    [
        (Force.CURRENT, ("v2" * 32, "v2" * 32), "", ("True", "Programmed", "2/2")),
        (Force.CURRENT, ("v2" * 32, "also-v2"), "", ("True", "Programmed", "2/2")),
        (Force.CURRENT, ("v2" * 32, "v1"), "", ("False", "Pending", "1/2")),
        (Force.CURRENT, ("v1", ""), "pod a: Malformed: x", ("False", "Rejected", "0/2")),
        (Force.CURRENT, (), "", ("False", "NoPods", "0/0")),
        (Force.LAST_GOOD, ("v1", "v1"), "", ("False", "NotInSnapshot", "0/2")),
        (Force.NONE, ("v2" * 32,), "", ("False", "NotInSnapshot", "1/1")),
    ],
)
def test_programmed(force: Force, pods: tuple[str, ...], refusal: str, expected: tuple[str, str, str]) -> None:
    document = status_document(status(force), delivery(*pods, refusal=refusal), old={}, propagation="", now=NOW)
    programmed = condition(document, "Programmed")
    assert (programmed["status"], programmed["reason"], document["programmed"]) == expected
    assert condition(document, "Ready")["status"] == expected[0]


def test_a_refusals_words_are_in_the_condition() -> None:
    document = status_document(status(), delivery("v1", refusal="pod a: Malformed: x"), old={}, propagation="", now=NOW)
    assert "pod a: Malformed: x" in condition(document, "Programmed")["message"]


def test_the_transition_time_moves_only_with_the_status() -> None:
    first = status_document(status(), delivery("v2" * 32), old={}, propagation="", now=EARLIER)
    same = status_document(status(), delivery("v2" * 32), old=first, propagation="", now=NOW)
    assert same == first
    flipped = status_document(status(), delivery("v1"), old=first, propagation="", now=NOW)
    assert condition(flipped, "Programmed")["lastTransitionTime"] == NOW
    assert condition(flipped, "Accepted")["lastTransitionTime"] == EARLIER


def test_ready_says_what_is_wrong_first() -> None:
    document = status_document(status(Force.NONE, accepted=False), delivery("v1"), old={}, propagation="", now=NOW)
    ready = condition(document, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Invalid")
    assert "spec.x: is wrong" in ready["message"]


def test_events_tell_of_flips_only() -> None:
    good = status_document(status(), delivery("v2" * 32), old={}, propagation="", now=NOW)
    bad = status_document(status(Force.LAST_GOOD, accepted=False), delivery("v1"), old=good, propagation="", now=NOW)
    assert [e[:2] for e in flips(good, bad)] == [("Warning", "Invalid")]
    assert flips(bad, bad) == []
    assert [e[:2] for e in flips(bad, good)] == [("Normal", "Accepted")]
    assert flips({}, good) == []
