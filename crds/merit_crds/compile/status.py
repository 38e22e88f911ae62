"""What compile tells the owner of each resource."""

from collections.abc import Mapping
from dataclasses import dataclass

from merit_crds.compile.settle import Force, Settled
from merit_crds.compile.translate import Entry
from merit_crds.conditions import Condition, ConditionType, Reason
from merit_crds.pricing.merit_order import Ranked
from merit_crds.problems import Problem
from merit_crds.resources import ResourceId, ResourceSet
from merit_crds.snapshot.model import Snapshot

_LONGEST_MESSAGE = 4_096
_ACCEPTED = Condition(ConditionType.ACCEPTED, "True", Reason.ACCEPTED)
_RESOLVED_REFS = Condition(ConditionType.RESOLVED_REFS, "True", Reason.RESOLVED_REFS)
Fault = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What compile says of one resource."""

    id: ResourceId
    generation: int
    """The generation that was looked at."""
    force: Force
    accepted: Condition
    resolved_refs: Condition
    problems: tuple[Problem, ...] = ()
    merit_order: tuple[Ranked, ...] = ()
    """For a ModelRoute: by price, at its typical request."""


def statuses_of(
    resources: ResourceSet,
    *,
    translated: Mapping[ResourceId, Entry | tuple[Problem, ...]],
    settled: Settled,
    unresolved: Mapping[ResourceId, list[Fault]],
    snapshot: Snapshot,
    merit_orders: Mapping[str, tuple[Ranked, ...]],
) -> dict[ResourceId, ResourceStatus]:
    """A status for every resource."""
    served: dict[str, Mapping[str, Entry]] = {
        "Provider": snapshot.providers,
        "ProviderPricing": snapshot.pricings,
        "ModelRoute": snapshot.routes,
        "Consumer": snapshot.consumers,
    }
    statuses = {}
    for resource_id, result in translated.items():
        problems = result if isinstance(result, tuple) else ()
        wrong = [(Reason.INVALID, str(p)) for p in problems] or settled.lost.get(resource_id, [])
        statuses[resource_id] = ResourceStatus(
            id=resource_id,
            generation=resources.resources[resource_id].generation,
            force=settled.force.get(resource_id, Force.NONE)
            if resource_id.key in served[resource_id.kind]
            else Force.NONE,
            accepted=_condition(_ACCEPTED, wrong),
            resolved_refs=_condition(_RESOLVED_REFS, unresolved.get(resource_id, [])),
            problems=problems,
            merit_order=merit_orders.get(resource_id.key, ()) if resource_id.kind == "ModelRoute" else (),
        )
    return statuses


def _condition(fine: Condition, faults: list[Fault]) -> Condition:
    if not faults:
        return fine
    message = "; ".join(words for _, words in faults)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}… ({len(faults)} in all)"
    return Condition(fine.type, "False", faults[0][0], message)
