"""What holds for every price list that compiles, from its YAML on: a longer or dearer request never costs less."""

import ast
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import merit_crds
from merit_crds.compile.prices import models, problems
from merit_crds.pricing import SpecialTokens, Usage, price_details, rates_in_force, stamped, stamped_excess, usd
from merit_crds.snapshot import ModelPrice
from merit_crds.v1alpha1 import ProviderPricingSpec
from tests.unit.crds.worlds import quick

INPUT = {
    "input": (),
    "cachedInput": ("input",),
    "cacheWrite": ("input",),
    "cacheWrite1h": ("cacheWrite", "input"),
    "imageInput": ("input",),
    "audioInput": ("input",),
    "cachedAudioInput": ("audioInput", "cachedInput", "input"),
}
OUTPUT = {"output": (), "reasoning": ("output",), "imageOutput": ("output",), "audioOutput": ("output",)}
CLASSES = INPUT | OUTPUT
"""Each class of tokens, and what it costs where it has no price of its own."""
amounts = st.integers(0, 20).map(lambda n: f"{n / 10:.1f}") | st.sampled_from(["0.000001", "0.123457", "75", "0"])
Spec = dict[str, Any]


def named(draw: st.DrawFn, *needed: str, of: dict[str, Any]) -> dict[str, str]:
    chosen = {*needed, *draw(st.sets(st.sampled_from(sorted(of)), min_size=1, max_size=4))}
    return {name: draw(amounts) for name in sorted(chosen)}


@st.composite
def price_lists(draw: st.DrawFn) -> Spec:
    """One model with prices and context tiers of any kind; half of them don't compile."""
    tiers = []
    for above in sorted(draw(st.sets(st.integers(1, 60), max_size=3))):
        applies = draw(st.sampled_from(["Whole", "Excess"]))
        prices = named(draw, of=CLASSES if applies == "Whole" else INPUT)
        if draw(st.booleans()):  # one that is dearer in all that it names
            prices = {name: str(Decimal(price) + above * 10) for name, price in prices.items()}
        tiers.append({"above": above, "applies": applies, "prices": prices})
    prices = named(draw, "input", "output", of=CLASSES)
    return {"model": "m", "prices": prices | {"request": draw(amounts)}, "contextTiers": tiers}


def spec_of(model: Spec) -> ProviderPricingSpec:
    return ProviderPricingSpec.model_validate_json(json.dumps({"providerRef": {"name": "p"}, "models": [model]}))


def price_of(model: Spec) -> ModelPrice | None:
    """Its prices as compile makes them; None where it refuses them."""
    spec = spec_of(model)
    return None if problems(spec) else models(spec)["m"]


def asked(prices: dict[str, str], name: str) -> Decimal:
    return Decimal(next(prices[n] for n in (name, *CLASSES[name]) if n in prices))


@quick
@given(price_lists())
def test_compile_refuses_what_gets_cheaper_with_length_and_nothing_else(model: Spec) -> None:
    falls: set[tuple[int, str]] = set()
    below = model["prices"]
    for place, tier in enumerate(model["contextTiers"]):
        above = below | tier["prices"]
        falls |= {(place, name) for name in CLASSES if asked(above, name) < asked(below, name)}
        below = above
    found = [(int(p.path[4]), p.reason.split()[0]) for p in problems(spec_of(model))]
    assert len(set(found)) == len(found)
    assert set(found) <= falls
    for place, name in falls - set(found):  # a class that nobody prices falls with the one that it is charged as
        assert any((place, plain) in found for plain in CLASSES[name])


few = st.integers(0, 40)
usages = st.builds(Usage, few, few, few, few, st.none() | st.builds(SpecialTokens, few, few, few, few, few, few, few))


@quick
@given(price_lists(), usages)
def test_a_token_more_of_any_class_never_costs_less(model: Spec, usage: Usage) -> None:
    if (price := price_of(model)) is None:
        return
    cost = price_details(price, usage)
    assert type(cost.total) is int
    counts = [*usage[:4], *(usage.special or SpecialTokens())]
    for grown in range(len(counts)):
        more = [count + (place == grown) for place, count in enumerate(counts)]
        longer = Usage(more[0], more[1], more[2], more[3], SpecialTokens(*more[4:]))
        assert price_details(price, longer).total >= cost.total


@quick
@given(price_lists(), usages, st.data())
def test_a_dearer_price_of_any_class_never_makes_a_request_cheaper(
    model: Spec, usage: Usage, data: st.DataObject
) -> None:
    dearer = json.loads(json.dumps(model))
    places = [dearer["prices"], *(tier["prices"] for tier in dearer["contextTiers"])]
    prices = data.draw(st.sampled_from(places))
    name = data.draw(st.sampled_from(sorted(prices)))
    prices[name] = str(Decimal(prices[name]) + Decimal(data.draw(amounts)))
    before, after = price_of(model), price_of(dearer)
    if before is not None and after is not None:
        assert price_details(after, usage).total >= price_details(before, usage).total


@quick
@given(price_lists(), usages)
def test_a_token_more_never_jumps_where_tiers_price_the_excess(model: Spec, usage: Usage) -> None:
    """Nor does its output cost anything else than without the tiers."""
    model["contextTiers"] = [
        {"above": tier["above"], "applies": "Excess", "prices": prices}
        for tier in model["contextTiers"]
        if (prices := {n: p for n, p in tier["prices"].items() if n in INPUT})
    ]
    if (price := price_of(model)) is None:
        return
    before, after = (price_details(price, usage._replace(uncached_input=usage.uncached_input + n)) for n in (0, 1))
    prices, dearest = model["prices"], Decimal(0)
    for more in ({}, *(tier["prices"] for tier in model["contextTiers"])):
        prices = prices | more
        dearest = max(dearest, *(asked(prices, name) for name in INPUT))
    assert 0 <= after.total - before.total <= dearest * 10**6
    flat = price_of(model | {"contextTiers": []})
    assert flat is not None
    assert before.output == after.output == price_details(flat, usage).output


@quick
@given(price_lists(), usages)
def test_what_is_stamped_makes_the_cost_again(model: Spec, usage: Usage) -> None:
    """In decimals alone, as somebody would who has the log and no price list."""
    if (price := price_of(model)) is None:
        return
    whole, excess = rates_in_force(price.rates, price.context_tiers, usage.input)
    bands = [(0, stamped(whole)), *((tier.above, stamped_excess(tier)) for tier in excess)]
    special = usage.special or SpecialTokens()
    of_input = [
        ("cached_input", usage.cached_input), ("cached_audio_input", special.cached_audio_input),
        ("cache_write", usage.cache_write), ("cache_write_1h", special.cache_write_1h),
        ("image_input", special.image_input), ("audio_input", special.audio_input), ("input", usage.uncached_input),
    ]  # fmt: skip
    in_order = [name for name, count in of_input for _ in range(count)]
    plain = {
        "cached_audio_input": "cached_input", "cache_write_1h": "cache_write", "image_input": "input",
        "audio_input": "input", "reasoning": "output", "image_output": "output", "audio_output": "output",
    }  # fmt: skip

    def rate(band: Any, name: str) -> Decimal:
        if name in plain:
            return Decimal(getattr(band.special, name) if band.special else getattr(band, plain[name]))
        return Decimal(getattr(band, name))

    paid = sum((rate([b for at, b in bands if at <= n][-1], name) for n, name in enumerate(in_order)), Decimal(0))
    of_output = [
        ("output", usage.output),
        *((n, getattr(special, n)) for n in ("reasoning", "image_output", "audio_output")),
    ]
    paid += sum((count * rate(bands[0][1], name) for name, count in of_output), Decimal(0))
    paid = paid / 10**6 + Decimal(stamped(whole).request)
    assert paid == Decimal(usd(price_details(price, usage).total))


CODE = Path(merit_crds.__file__).parent
PRICING = [*sorted((CODE / "pricing").glob("*.py")), CODE / "commitments/draw.py"]


@pytest.mark.parametrize("file", PRICING, ids=lambda file: file.stem)
def test_no_money_is_a_binary_float(file: Path) -> None:
    """Instants (in_force, daily) and accuracies (merit_order) are; prices, tokens and costs never meet one."""
    if file.stem in {"in_force", "daily", "zones", "merit_order"}:
        return
    for node in ast.walk(ast.parse(file.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{file.name}:{node.lineno}"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), f"{file.name}:{node.lineno}"
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"{file.name}:{node.lineno}"
