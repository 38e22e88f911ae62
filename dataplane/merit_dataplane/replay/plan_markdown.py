"""A plan as Markdown, for a pull request's comment."""

from collections.abc import Iterator
from datetime import UTC, datetime

from merit_crds.pricing.cost import PICO
from merit_dataplane.replay.plan import Plan

_CAVEATS = """\
<details><summary>How to read this</summary>

Recorded requests were priced and dispatched by both sets of resources. Token counts are as recorded: another model may
write more or less, and count a text otherwise. Cached input is as recorded too, unless the trace names prefixes. Rate
limits, circuits, exploration, ramps and what a pod learns while it runs are not replayed.
</details>"""


def markdown(plan: Plan) -> str:
    """The whole comment."""
    return "\n".join(
        [
            *_head(plan),
            *_candidates(plan),
            *_objectives(plan),
            *_break_evens(plan),
            *_commitments(plan),
            *_notes(plan),
            _CAVEATS,
            "",
        ]
    )


def money(pico: int) -> str:
    """Rounded to cents from 1 USD, to six digits below: `1,234.50`, `0.000812`."""
    dollars = pico / PICO
    return f"{dollars:,.2f}" if abs(dollars) >= 1 else f"{dollars:.6f}"


def _change(before: float, after: float) -> str:
    if before == after:
        return "±0 %"
    return f"{100 * (after - before) / before:+.1f} %" if before else "new"


def _head(plan: Plan) -> Iterator[str]:
    first, last = (f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M}" for t in (plan.first, plan.last))
    yield f"### Merit plan: {money(plan.before)} → {money(plan.after)} USD ({_change(plan.before, plan.after)})"
    yield ""
    yield f"{plan.requests:,} recorded requests, {first} to {last} UTC."
    yield ""
    yield "| | USD | |"
    yield "| --- | ---: | ---: |"
    yield f"| before | {money(plan.before)} | |"
    yield f"| new prices, if nothing moved | {money(plan.unmoved)} | {_change(plan.before, plan.unmoved)} |"
    yield f"| **after** | **{money(plan.after)}** | **{_change(plan.before, plan.after)}** |"
    yield ""
    yield f"{plan.moved:,} requests ({100 * plan.moved / plan.requests:.1f} %) go to another candidate."
    yield ""


def _candidates(plan: Plan) -> Iterator[str]:
    of_tier: dict[tuple[str, str], list[int]] = {}
    for share in plan.shares:
        sums = of_tier.setdefault((share.place.route, share.place.tier), [0, 0])
        sums[0] += share.requests_before
        sums[1] += share.requests_after
    yield "| route, tier | provider | model | traffic | USD before | USD after | |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: |"
    for share in plan.shares:
        place = share.place
        before, after = of_tier[place.route, place.tier]
        shares = f"{_percent(share.requests_before, before)} → {_percent(share.requests_after, after)}"
        change = _change(share.spend_before, share.spend_after)
        spent = f"{money(share.spend_before)} | {money(share.spend_after)} | {change}"
        yield f"| {place.route}, {place.tier} | {place.provider} | {_cell(place.model)} | {shares} | {spent} |"
    yield ""


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _objectives(plan: Plan) -> Iterator[str]:
    yield "| route, tier | requests | accuracy (floor) | objectives missed | latency not measured |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for risk in plan.risks:
        before, after = (
            f"{a:.3f}" if a is not None else "not stated" for a in (risk.accuracy_before, risk.accuracy_after)
        )
        missed = f"{100 * risk.missed_before:.1f} % → {100 * risk.missed_after:.1f} %"
        warning = " ⚠" if risk.missed_after > risk.missed_before else ""
        yield (
            f"| {risk.route}, {risk.tier} | {risk.requests:,} | {before} → {after} ({risk.accuracy_floor or 'none'}) "
            f"| {missed}{warning} | {_percent(risk.unmeasured, risk.requests)} |"
        )
    yield ""


def _break_evens(plan: Plan) -> Iterator[str]:
    if not plan.break_evens:
        return
    yield "| route, tier | candidate | against | USD for the tier | breaks even at prices | or at output tokens |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    for even in plan.break_evens:
        change = f"{100 * even.change:+.1f} %" if even.change is not None else "never"
        output = f"{even.output_tokens:,.0f}" if even.output_tokens is not None else "never"
        asked = f"{money(even.cost)} / {money(even.leader_cost)}"
        names = f"{_cell(even.candidate)} | {_cell(even.leader)}"
        yield f"| {even.route}, {even.tier} | {names} | {asked} | {change} | {output} |"
    yield ""


def _commitments(plan: Plan) -> Iterator[str]:
    if not plan.commitments:
        return
    yield "| commitment | requests | USD by the list | fee | bill with it | volume used | breaks even at |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for use in plan.commitments:
        even = f"{100 * use.break_even:.0f} % used" if use.break_even is not None else "never"
        sums = f"{money(use.listed)} | {money(use.fee)} | {money(use.bill)}"
        used = f"{100 * use.wanted / use.volume:.0f} %"
        yield f"| {use.price_list}, {use.name} | {use.requests:,} | {sums} | {used} | {even} |"
    yield ""


def _notes(plan: Plan) -> Iterator[str]:
    notes = [
        f"⚠ {peak.provider} gets {peak.after:,} requests in its busiest minute (before: {peak.before:,}); "
        f"one pod sends it at most {peak.limit:,}."
        for peak in plan.peaks
        if peak.limit and peak.after > peak.limit
    ]
    if plan.unserved_after or plan.unserved_before:
        notes.append(
            f"⚠ Not served by any candidate: {plan.unserved_before:,} requests before, {plan.unserved_after:,} after."
        )
    if plan.assumed:
        notes.append(
            f"The tier of {plan.assumed:,} requests depends on headers or text, and the trace doesn't name it."
        )
    if plan.left_out:
        notes.append(f"{plan.left_out:,} lines were left out: refused, failed, or served from the cache.")
    for note in notes:
        yield f"- {note}"
    if notes:
        yield ""
