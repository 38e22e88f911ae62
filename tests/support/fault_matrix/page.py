"""`python -m tests.support.fault_matrix.page` writes docs/fault-matrix.md from the stated outcomes."""

from collections import Counter
from pathlib import Path

from tests.support.fault_matrix.faults import FAULTS, Moment
from tests.support.fault_matrix.lanes import LANES, Lane
from tests.support.fault_matrix.outcomes import Rule, expected, rules
from tests.support.fault_matrix.vendor import Plan

PAGE = Path(__file__).parents[3] / "docs" / "fault-matrix.md"
_HEAD = Path(__file__).with_name("page_head.md").read_text(encoding="utf-8")

_KINDS = {"whole": "not streamed", "stream": "streamed"}


def text() -> str:
    """The page."""
    plans = [(lane, plan) for lane in LANES for plan in lane.plans()]
    names = {fault.name: fault.words for fault in FAULTS}
    cells = Counter(expected(lane, plan).rule.place for lane, plan in plans)
    out = [_HEAD.format(faults=len(names) - 1, cells=len(plans)), "## The outcomes", ""]
    out += ["| fault | moment | where | the client gets | without another candidate | primary asked | booked | cells |"]
    out += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    notes = []
    for rule in rules():
        found = [(lane, plan) for lane, plan in plans if expected(lane, plan).rule is rule]
        out.append(_row(rule, found, cells[rule.place]))
        notes.append(f"{rule.place + 1}. {rule.why}")
    out += ["", "Why, row by row:", "", *notes, "", "## The faults", "", "| fault | what the provider does |"]
    out += ["| --- | --- |", *(f"| {name} | {words} |" for name, words in names.items())]
    out += [
        "",
        "## The columns",
        "",
        "| endpoint | provider's protocol | cells streamed | cells not streamed | without another candidate |",
    ]
    out += ["| --- | --- | --- | --- | --- |", *_columns()]
    return "\n".join([*out, ""])


def _row(rule: Rule, found: list[tuple[Lane, Plan]], cells: int) -> str:
    faults = ", ".join(dict.fromkeys(plan.fault.name for _, plan in found))
    at = dict.fromkeys(plan.moment for _, plan in found)
    moments = "" if list(at) == [Moment.NEVER] else ", ".join(at)
    held = [
        _KINDS[value] if name == "kind" else ", ".join(value)
        for name, value in rule.where.items()
        if name not in ("faults", "moments")
    ]
    alone = rule.alone if rule.alone != rule.client else ""
    cut = [
        f"{rule.place + 1}. {faults}",
        moments,
        "; ".join(held),
        rule.client,
        alone,
        str(rule.asked),
        rule.accounts,
        str(cells),
    ]
    return "| " + " | ".join(cut) + " |"


def _columns() -> list[str]:
    rows = []
    for operation, protocol, alone in dict.fromkeys((lane.operation, lane.protocol, lane.alone) for lane in LANES):
        counts = [
            sum(
                len(lane.plans())
                for lane in LANES
                if (lane.operation, lane.protocol, lane.alone, lane.stream) == (operation, protocol, alone, stream)
            )
            for stream in (True, False)
        ]
        name = "OpenAI, Responses" if protocol == "Responses" else protocol
        rows.append(f"| {operation} | {name} | {counts[0] or ''} | {counts[1]} | {'yes' if alone else ''} |")
    return rows


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
