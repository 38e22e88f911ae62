"""The routes that a steered request goes through: its model's, then those of its `models`, each with the call as it is
there.

A suffix of a model's name (`:floor`, `:nitro`) is a `sort` of that model's candidates.
"""

from msgspec.structs import replace

from merit_dataplane.snapshots.tables import ConsumerPlan, RoutePlan
from merit_dataplane.wire.errors import RequestError, model_not_found
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.steering import SUFFIXES, Steering

Leg = tuple[RoutePlan, Call]


def legs(consumer: ConsumerPlan, call: Call) -> tuple[Leg, ...]:
    """At least one. Raises RequestError when a name has no route, or its route refuses to be steered."""
    further = call.steering.models if call.steering is not None else ()
    names = dict.fromkeys((call.model, *further))  # the first once more changes nothing
    return tuple(_leg(consumer, call, name, place) for place, name in enumerate(names))


def _leg(consumer: ConsumerPlan, call: Call, name: str, place: int) -> Leg:
    param = "models" if place else "model"
    route, steering = consumer.routes.get(name), call.steering
    if route is None:
        base, _, suffix = name.rpartition(":")
        route = consumer.routes.get(base)
        if route is None or suffix not in SUFFIXES:
            raise model_not_found(name, param=param)
        steering = replace(steering or Steering(), sort=SUFFIXES[suffix])
    if steering is not None and not route.steerable:
        raise RequestError(
            400,
            f"Requests for {route.models[0]!r} can't be steered: leave out `models`, `provider` and suffixes.",
            code="steering_refused",
            param="provider" if call.steering is not None else param,
        )
    return route, replace(call, model=name, steering=steering)
