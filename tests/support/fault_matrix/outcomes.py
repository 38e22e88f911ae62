"""The stated outcome of every cell, read from `outcomes.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.fault_matrix.faults import FAULTS, STATUSES, Moment
from tests.support.fault_matrix.lanes import Lane
from tests.support.fault_matrix.vendor import Plan

_FILE = Path(__file__).with_name("outcomes.yaml")
_TELLS_PROMPT_FIRST = frozenset({"Anthropic", "Gemini"})
_CONDITIONS = ("faults", "moments", "kind", "operations", "protocols")
_FIELDS = frozenset({*_CONDITIONS, "client", "alone", "asked", "accounts", "why"})


@dataclass(frozen=True)
class Rule:
    """One rule; see the head of the file."""

    place: int
    where: dict[str, Any]
    client: str
    alone: str
    asked: int
    accounts: str
    why: str

    def fits(self, lane: Lane, plan: Plan) -> bool:
        """Whether it states this cell's outcome."""
        kind = "stream" if lane.stream else "whole"
        cell = {
            "faults": plan.fault.name,
            "moments": str(plan.moment),
            "kind": kind,
            "operations": lane.operation,
            "protocols": lane.protocol,
        }
        return all(cell[name] in _listed(allowed) for name, allowed in self.where.items())


@dataclass(frozen=True)
class Expected:
    """Of one cell, in the words of `running.Cell`."""

    client: str
    asked: int | None
    """None: as often as there is time for."""
    accounts: str
    rule: Rule


@cache
def rules() -> tuple[Rule, ...]:
    """All rules. Raises ValueError for one that names what there is not."""
    known = {
        "faults": {fault.name for fault in FAULTS},
        "moments": {str(moment) for moment in Moment},
        "kind": {"stream", "whole"},
        "operations": {"chat/completions", "completions", "embeddings", "messages", "responses"},
        "protocols": {"OpenAI", "Responses", "Anthropic", "Gemini", "Bedrock", "Cohere"},
    }
    made = []
    for place, given in enumerate(yaml.safe_load(_FILE.read_text(encoding="utf-8"))):
        where = {name: given[name] for name in _CONDITIONS if name in given}
        wrong = [value for name, allowed in where.items() for value in _listed(allowed) if value not in known[name]]
        if wrong or given.keys() - _FIELDS:
            raise ValueError(f"rule {place}: {wrong or sorted(given.keys() - _FIELDS)} is unknown")
        client = str(given["client"])
        alone = str(given.get("alone", client))
        made.append(Rule(place, where, client, alone, given["asked"], given["accounts"], given["why"]))
    return tuple(made)


def expected(lane: Lane, plan: Plan) -> Expected:
    """The stated outcome. Raises LookupError where none is stated."""
    for rule in rules():
        if rule.fits(lane, plan):
            client = rule.alone if lane.alone else rule.client
            if client == "same status":
                client = str(STATUSES[plan.fault.name][0])
            asked = None if lane.alone and client[:1] in "45" else rule.asked
            return Expected(client, asked, _accounts(rule.accounts, lane, plan), rule)
    raise LookupError(f"no outcome is stated for {plan.fault.name}, {plan.moment}, {lane}")


def _accounts(stated: str, lane: Lane, plan: Plan) -> str:
    match stated:
        case "so far":
            return "counted" if lane.protocol in _TELLS_PROMPT_FIRST else "estimated"
        case "prompt":
            return "estimated"
        case "guess":
            return "estimated" if lane.operation == "embeddings" else "guessed"
    return stated


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
