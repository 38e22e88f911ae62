"""The verdicts as a table in Markdown."""

from collections import Counter
from typing import NamedTuple

_KINDS = {"stream": "streamed", "whole": "not streamed", "restart": "streamed, `midStream: Restart`"}


class Row(NamedTuple):
    """One verdict."""

    fault: str
    words: str
    peer: str
    version: str
    kind: str
    verdict: str
    why: str
    seconds: float


def markdown(rows: list[Row]) -> str:
    """One line per fault, one column per gateway and kind of request; below, why something is no pass."""
    columns = sorted({(row.peer, row.version, row.kind) for row in rows}, key=_place)
    faults = sorted({(row.fault, row.words) for row in rows})
    cells = {(row.fault, row.peer, row.kind): row for row in rows}
    head = ["fault", *(f"{peer} {version}, {_KINDS[kind]}" for peer, version, kind in columns)]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for fault, words in faults:
        found = [cells.get((fault, peer, kind)) for peer, _, kind in columns]
        lines.append(
            "| "
            + " | ".join([f"{fault} {words}", *(f"{c.verdict}, {c.seconds:.1f} s" if c else "" for c in found)])
            + " |"
        )
    sums = []
    for peer, _, kind in columns:
        count = Counter(row.verdict for row in rows if (row.peer, row.kind) == (peer, kind))
        sums.append("/".join(str(count[v]) for v in ("pass", "partial", "safe", "fail")))
    lines.append("| " + " | ".join(["pass/partial/safe/fail", *sums]) + " |")
    notes = [
        f"- {row.fault}, {row.peer}, {_KINDS[row.kind]}: {row.verdict}: {row.why}"
        for row in sorted(rows, key=lambda row: (row.fault, _place((row.peer, row.version, row.kind))))
        if row.why
    ]
    return "\n".join([*lines, "", *notes, ""])


def _place(column: tuple[str, str, str]) -> tuple[int, int]:
    peer, _, kind = column
    return ["Merit", "LiteLLM", "Portkey"].index(peer), list(_KINDS).index(kind)
