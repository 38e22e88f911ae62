"""Quotes to ProviderPricing resources, as far as they can say them.

What a model's entry becomes is checked by compile itself, one model at a time: one that compile refuses is listed with
compile's words and left out, so that it never takes the rest of the list out of force.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import islice
from typing import Any

from merit_crds import API_VERSION
from merit_crds.compile.translate import translate
from merit_crds.problems import Problem
from merit_crds.resources import Resource, ResourceId
from merit_crds.v1alpha1.prices import Prices as PricesSpec
from merit_dataplane.price_lists.quote import ContextTier, Prices, Quote, Schedule, Tariff, Unsaid, told

MOST_MODELS = 256
"""Of one ProviderPricing; a provider with more gets several, each with its own models."""
_FINEST = Decimal("0.000001")
_NOISE = Decimal("1e-9")
"""Relative: what binary floats add to a price (0.1 + 0.2) is below it, what a list means is not."""
_CLASSES = tuple(field.alias or name for name, field in PricesSpec.model_fields.items())
_NEEDED = ("input", "output")
_OF_OUTPUT = {"output", "reasoning", "imageOutput", "audioOutput"}
Spec = dict[str, Any]


def resources(quotes: Iterable[Quote], *, name: str, provider: str, unsaid: list[Unsaid]) -> Iterator[Spec]:
    """Resources of one provider, named `name`, `name-2` …, as documents. What they can't say is added to `unsaid`."""
    models: dict[str, Spec] = {}
    schedules: dict[str, Spec] = {}
    for quote in sorted(quotes, key=lambda q: (q.model, len(q.path), q.path)):
        written = _Model(quote, unsaid, schedules).spec()
        if written is None:
            continue
        if quote.model in models:
            if models[quote.model] != written:
                words = f"another entry is the same model of this provider at other prices: {quote.model} is from it"
                unsaid.append(Unsaid(quote.path, told(written["prices"]), words))
            continue
        models[quote.model] = written
    yield from lists(models.values(), schedules, name=name, provider=provider)


def lists(models: Iterable[Spec], schedules: Mapping[str, Spec], *, name: str, provider: str) -> Iterator[Spec]:
    """The models in as many resources as it takes, with the schedules that each refers to."""
    entries, place = iter(models), 0
    while part := list(islice(entries, MOST_MODELS)):
        place += 1
        yield _document(f"{name}-{place}" if place > 1 else name, provider, part, schedules)


def price_text(price: Decimal) -> str:
    """A price as ProviderPricing writes it, rounded to a pico-dollar per token: `0.15`."""
    text = f"{price.quantize(_FINEST, ROUND_HALF_EVEN):f}".rstrip("0").rstrip(".")
    return text or "0"


def _document(name: str, provider: str, models: list[Spec], schedules: Mapping[str, Spec]) -> Spec:
    used = {s["name"] for model in models for s in model.get("schedules", ())}
    listed = [schedule for schedule in schedules.values() if schedule["name"] in used]
    return {
        "apiVersion": API_VERSION,
        "kind": "ProviderPricing",
        "metadata": {"name": name},
        "spec": {
            "providerRef": {"name": provider},
            **({"schedules": listed} if listed else {}),
            "models": models,
        },
    }


class _Model:
    """One quote's way into a list of models."""

    def __init__(self, quote: Quote, unsaid: list[Unsaid], schedules: dict[str, Spec]):
        self._quote, self._unsaid, self._schedules = quote, unsaid, schedules

    def spec(self) -> Spec | None:
        """None where it can't be priced: that is listed."""
        quote = self._quote
        made = self._tariff(quote.tariff, "")
        if made is None:
            return None
        known = dict(self._schedules)
        made = {
            "model": quote.model,
            **made,
            **self._deviations(quote, known),
            **self._periods(quote),
            **({"capabilities": sorted(quote.capabilities)} if quote.capabilities is not None else {}),
            **({"contextWindow": quote.context_window} if quote.context_window else {}),
            **({"maxOutputTokens": quote.max_output_tokens} if quote.max_output_tokens else {}),
        }
        if "Audio" in made.get("capabilities", ()) and "audioInput" not in made["prices"]:
            made["capabilities"] = [c for c in made["capabilities"] if c != "Audio"]
            self._list("capabilities", "Audio", "sound is left out of what the model can do: it has no price per token")
        for problem in _problems(made, known):
            self._list("", quote.model, f"compile would refuse it, it is left out: {problem}")
            return None
        self._schedules.update(known)
        return made

    def _tariff(self, tariff: Tariff, where: str) -> Spec | None:
        missing = [name for name in _NEEDED if name not in tariff.prices]
        if missing == ["output"] and "Embeddings" in (self._quote.capabilities or ()):
            tariff, missing = Tariff({**tariff.prices, "output": Decimal(0)}, tariff.context_tiers), []
        if missing:
            self._list(where, tariff.prices, f"has no price per token of {' and '.join(missing)}: unknown is never 0")
            return None
        tiers = [self._tier(tier, tariff.prices, where) for tier in tariff.context_tiers]
        prices = self._prices(tariff.prices, where)
        if prices is None or None in tiers:
            return None
        return {"prices": prices, **({"contextTiers": tiers} if tiers else {})}

    def _tier(self, tier: ContextTier, base: Prices, where: str) -> Spec | None:
        wanted = {}
        for name, price in tier.prices.items():
            if name in base or name == "request" or price >= base["output" if name in _OF_OUTPUT else "input"]:
                wanted[name] = price
            else:  # the base's default is dearer: compile refuses a price that falls, and this one says nothing below
                at = f"{where} above {tier.above}".strip()
                self._list(at, price, f"{name} has a price for long requests alone: it is left out there")
        if "request" in wanted:
            self._list(where, wanted.pop("request"), "a price per call can't depend on the context tier")
        prices = self._prices(wanted, where)
        return None if prices is None else {"above": tier.above, "applies": "Whole", "prices": prices}

    def _prices(self, prices: Prices, where: str) -> dict[str, str] | None:
        """None where one can't be written: a model at part of its prices would be a wrong bid."""
        made = {}
        for name in _CLASSES:
            price = prices.get(name)
            if price is None:
                continue
            rounded = Decimal(price_text(price))
            if price < 0 or rounded >= 10_000_000 or (price and not rounded):
                self._list(where, price, f"{name} is no price from 0.000001 to 9999999.999999: the model is left out")
                return None
            if abs(rounded - price) > price * _NOISE:
                self._list(
                    where, price, f"{name} is finer than a pico-dollar per token: it becomes {price_text(price)}"
                )
            made[name] = price_text(price)
        return made

    def _deviations(self, quote: Quote, known: dict[str, Spec]) -> Spec:
        tiers = []
        for name, tariff in sorted(quote.service_tiers.items()):
            if (made := self._beside(tariff, f"service tier {name}")) is not None:
                tiers.append({"name": name, **made})
        schedules = [
            {"name": _named(schedule, known), **made}
            for schedule in quote.schedules
            if (made := self._beside(schedule.tariff, f"schedule {schedule.name}")) is not None
        ]
        return {**({"serviceTiers": tiers} if tiers else {}), **({"schedules": schedules} if schedules else {})}

    def _beside(self, tariff: Tariff, where: str) -> Spec | None:
        made = self._tariff(tariff, where)
        if made is not None and self._quote.tariff.context_tiers and "contextTiers" not in made:
            self._list(where, made["prices"], "names no prices of long requests: taken as having no context tiers")
            made["contextTiers"] = []
        return made

    def _periods(self, quote: Quote) -> Spec:
        made = [
            {"validFrom": period.valid_from, **tariff}
            for period in quote.periods
            if (tariff := self._tariff(period.tariff, f"from {period.valid_from}")) is not None
        ]
        return {"periods": made} if made else {}

    def _list(self, where: str, value: Any, reason: str) -> None:
        path = f"{self._quote.path} ({where})" if where else self._quote.path
        self._unsaid.append(Unsaid(path, told(value), reason))


def _named(schedule: Schedule, known: dict[str, Spec]) -> str:
    """The name of the schedule with these hours, which is made where there is none yet."""
    hours: Spec = {
        "timeZone": schedule.time_zone,
        "windows": [
            {**({"days": list(w.days)} if w.days else {}), "from": w.start, "to": w.end} for w in schedule.windows
        ],
    }
    for name, there in known.items():
        if {k: v for k, v in there.items() if k != "name"} == hours:
            return name
    same = sum(name == schedule.name or name.startswith(f"{schedule.name}-") for name in known)
    name = f"{schedule.name}-{same + 1}" if same else schedule.name
    known[name] = {"name": name, **hours}
    return name


def _problems(model: Spec, schedules: Mapping[str, Spec]) -> tuple[Problem, ...]:
    spec: Spec = {"providerRef": {"name": "provider"}, "models": [model]}
    if schedules:
        spec["schedules"] = list(schedules.values())
    found = translate(Resource(ResourceId("ProviderPricing", "default", "import"), spec))
    return found if isinstance(found, tuple) else ()
