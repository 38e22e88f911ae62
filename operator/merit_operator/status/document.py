"""A resource's status, made from what compile says and what pods have acknowledged. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from merit_crds.compile import Force, ResourceStatus
from merit_crds.conditions import Condition, ConditionType, Reason
from merit_crds.definition import MOST_RANKED
from merit_crds.pricing import usd
from merit_crds.resources import ResourceId

Generations = Mapping[ResourceId, int]
"""Generation of each resource that a snapshot has in its current form."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the newest snapshot has come."""

    version: str
    pods: Mapping[str, int]
    """How many pods acknowledged which version; an empty one for none."""
    contents: Mapping[str, Generations]
    """What the known versions contain."""
    refusal: str = ""
    """Why a pod refused the newest version."""
    trouble: str = ""
    """Why a pod has not got it yet, where more is known than that it takes a moment."""
    volumes: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    """What is left of commitments, by the key of their price list."""

    @property
    def total(self) -> int:
        """Pods in all."""
        return sum(self.pods.values())


def status_document(
    status: ResourceStatus, delivery: Delivery, *, old: Mapping[str, Any], propagation: str, now: str
) -> dict[str, Any]:
    """The status. `old`: the one in the cluster; `now`: RFC 3339; `propagation`: seconds as a decimal, or empty."""
    serving = serving_pods(status, delivery)
    programmed = _programmed(status, delivery, serving)
    conditions = [status.accepted, status.resolved_refs, programmed]
    conditions.append(_ready(conditions))
    document: dict[str, Any] = {
        "observedGeneration": status.generation,
        "conditions": [_dated(c, status.generation, old, now) for c in conditions],
        "programmed": f"{serving}/{delivery.total}",
    }
    if programmed.status == "True":
        document["snapshot"] = delivery.version[:12]
    if propagation:
        document["propagationSeconds"] = propagation
    if status.id.kind == "ProviderPricing" and (left := delivery.volumes.get(status.id.key)):
        document["commitments"] = [dict(one) for one in left]
    if status.merit_order:
        last = status.merit_order[-1].tier
        first = next(r for r in status.merit_order if r.tier == last)
        document["cheapest"] = f"{_short(first.provider, status)}/{first.model}"
        document["meritOrder"] = [
            {"tier": r.tier, "provider": r.provider, "model": r.model, "costUSD": usd(r.cost)}
            for r in status.merit_order[:MOST_RANKED]
        ]
    return document


def serving_pods(status: ResourceStatus, delivery: Delivery) -> int:
    """Pods that have acknowledged a snapshot with this generation in it."""
    contents = delivery.contents
    return sum(
        n for version, n in delivery.pods.items() if contents.get(version, {}).get(status.id) == status.generation
    )


def _short(provider: str, status: ResourceStatus) -> str:
    return provider.removeprefix(f"{status.id.namespace}/")


def _programmed(status: ResourceStatus, delivery: Delivery, serving: int) -> Condition:
    kind = ConditionType.PROGRAMMED
    if status.force is not Force.CURRENT:
        form = "its last good form is in force" if status.force is Force.LAST_GOOD else "it is not served at all"
        return Condition(
            kind,
            "False",
            Reason.NOT_IN_SNAPSHOT,
            f"this generation is not served, {form}: see Accepted and ResolvedRefs",
        )
    if not delivery.pods:
        return Condition(kind, "False", Reason.NO_PODS, "there is no data-plane pod")
    if serving == delivery.total:
        return Condition(kind, "True", Reason.PROGRAMMED)
    if delivery.refusal:
        return Condition(kind, "False", Reason.REJECTED, f"the snapshot was refused, {delivery.refusal}")
    words = f"{serving} of {delivery.total} pods serve this generation"
    return Condition(kind, "False", Reason.PENDING, f"{words}; {delivery.trouble}" if delivery.trouble else words)


def _ready(conditions: Sequence[Condition]) -> Condition:
    wrong = [c for c in conditions if c.status != "True"]
    if not wrong:
        return Condition(ConditionType.READY, "True", Reason.READY)
    return Condition(ConditionType.READY, "False", wrong[0].reason, f"{wrong[0].type}: {wrong[0].message}")


def _dated(condition: Condition, generation: int, old: Mapping[str, Any], now: str) -> dict[str, Any]:
    """With the time of its last flip, which only moves when the status does."""
    before: list[dict[str, Any]] = old.get("conditions") or []
    known: dict[str, Any] = next((c for c in before if c.get("type") == condition.type), {})
    since = known.get("lastTransitionTime") if known.get("status") == condition.status else None
    return {
        "type": condition.type.value,
        "status": condition.status,
        "reason": condition.reason.value,
        "message": condition.message,
        "lastTransitionTime": since or now,
        "observedGeneration": generation,
    }
