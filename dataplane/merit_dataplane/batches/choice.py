"""Which provider gets a batch's file: the cheapest at batch prices that can serve every line.

A candidate has to be in the tier of each line, since all lines go to one model. Accuracy floors count as they do for
single requests; latency objectives don't, since nobody waits.
"""

import asyncio
from typing import NamedTuple

from merit_crds.pricing import BATCH, charge_of, text_cost, too_dear
from merit_dataplane.batches.requests import Requests
from merit_dataplane.snapshots.tables import ConsumerPlan, ProviderPlan, RoutePlan, Target
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature, names

_STEP = 2000
_MOST_SHOWN = 8
_FILES = int(Feature.FILES)


class Choice(NamedTuple):
    """A candidate for all lines of a file."""

    misses: bool
    """An accuracy floor, or is not available at the moment."""
    cost: int
    """Expected, in pico-dollars."""
    name: tuple[str, str]
    target: Target
    input_tokens: int


async def choices(requests: Requests, now: float, wall: float) -> list[Choice]:
    """The candidates that can serve the file, best first. Raises RequestError (400) where none can."""
    found: list[Choice] = []
    reasons: list[str] = []
    for target in requests.tier.targets:
        if reason := _why_not(target, requests, wall):
            reasons.append(f"{target.name[0]} {target.model} {reason}")
            continue
        cost, input_tokens = await _cost(target, requests, wall)
        accurate = all(target.accuracy.counts >= tier.accuracy for tier in requests.tiers.values())
        misses = not accurate or bool(target.provider.account.unavailable(now))
        found.append(Choice(misses, cost, target.name, target, input_tokens))
    if not found:
        words = "; ".join(reasons[:_MOST_SHOWN])
        message = f"No candidate for {requests.model!r} can serve this batch: {words}."
        raise RequestError(400, message, code="no_capable_model", param="body.model")
    return sorted(found, key=lambda choice: choice[:3])


def keeper(consumer: ConsumerPlan, model: str) -> tuple[RoutePlan, Target]:
    """Where a file goes that is no batch's. `model`: what the client named, maybe nothing. Raises RequestError."""
    routes = consumer.routes
    if model and model not in routes:
        raise RequestError(404, f"model: {model[:128]!r} does not exist.", code="model_not_found", param="model")
    wanted = [routes[model]] if model else list({route.key: route for route in routes.values()}.values())
    found: dict[str, tuple[RoutePlan, Target]] = {}
    for route in wanted:
        for tier in route.tiers:
            for target in tier.targets:
                if target.features & _FILES and target.provider.dialect.shelf is not None:
                    found.setdefault(target.provider.key, (route, target))
    if not found:
        message = "No candidate has the capability Files: name another `model`, or give it to one in its price list."
        raise RequestError(400, message, code="no_capable_model", param="model")
    if len(found) > 1:
        message = (
            "Several providers keep files. Send the form field `model` with the model that is to read it "
            "(extra_body={'model': …}), whose candidates have one."
        )
        raise RequestError(400, message, code="ambiguous_provider", param="model")
    return next(iter(found.values()))


def providers_of(consumer: ConsumerPlan) -> list[ProviderPlan]:
    """Where a consumer may have files and batches, in the order of their names."""
    wanted = int(Feature.BATCHES | Feature.FILES)
    found: dict[str, ProviderPlan] = {}
    for route in {route.key: route for route in consumer.routes.values()}.values():
        for tier in route.tiers:
            for target in tier.targets:
                if target.features & wanted and target.provider.dialect.shelf is not None:
                    found.setdefault(target.provider.key, target.provider)
    return [found[key] for key in sorted(found)]


def _why_not(target: Target, requests: Requests, wall: float) -> str:
    for tier in requests.tiers.values():
        if all(other.name != target.name for other in tier.targets):
            return f"is no candidate of tier {tier.name!r}, into which other lines fall"
    if missing := requests.features & ~target.features:
        return f"lacks {names(missing)}"
    if target.provider.dialect.shelf is None:
        return "has a protocol without batches such as OpenAI's"
    return _too_dear(target, requests, wall) or _too_small(target, requests)


def _too_dear(target: Target, requests: Requests, wall: float) -> str:
    charge, ceilings = charge_of(target.price.at(wall), BATCH), requests.tier.ceilings
    if charge is None:
        return f"has no price for the service tier {BATCH!r}"
    if ceilings is not None and (dear := too_dear(charge, ceilings, 0)) is not None:
        return f"has a price of {dear.what} above the route's maxPrice"
    return ""


def _too_small(target: Target, requests: Requests) -> str:
    for shape in requests.shapes:
        read = target.learned.expected_input.tokens(shape.input_tokens)
        if 0 < target.context_window < read + shape.output_limit:
            return f"has a context window of {target.context_window} tokens, too small for a line"
        if 0 < target.max_output_tokens < shape.output_limit:
            return f"writes at most {target.max_output_tokens} tokens, and a line allows {shape.output_limit}"
    return ""


async def _cost(target: Target, requests: Requests, wall: float) -> tuple[int, int]:
    """Pico-dollars and input tokens that are expected of all lines."""
    charge = charge_of(target.price.at(wall), BATCH)
    if charge is None:
        raise AssertionError("it has a price")
    cost = all_input = 0
    for place, (shape, lines) in enumerate(requests.shapes.items(), 1):
        limit = target.max_output_tokens
        if shape.output_limit and (not limit or shape.output_limit < limit):
            limit = shape.output_limit
        read = target.learned.expected_input.tokens(shape.input_tokens)
        wrote = target.learned.expected_output.tokens(limit) * shape.choices
        cost += lines * text_cost(charge.rates, charge.context_tiers, read, wrote)
        all_input += lines * read
        if not place % _STEP:
            await asyncio.sleep(0)
    return cost, all_input
