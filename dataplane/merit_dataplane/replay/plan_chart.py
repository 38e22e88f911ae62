"""A plan as a picture: who gets the traffic, and what it costs over time. SVG without scripts."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from merit_crds.pricing.cost import PICO
from merit_dataplane.replay.plan import Plan

_WIDE, _LEFT, _RIGHT = 900, 70, 20
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#997700")
"""Paul Tol's bright scheme: told apart by those who see few colours."""
_BEFORE, _AFTER = "#888888", "#228833"


def svg(plan: Plan) -> str:
    """The picture."""
    names = list(dict.fromkeys(share.place.candidate for share in plan.shares))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    legend_rows = (len(names) + 1) // 2
    high = 470 + 20 * legend_rows
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {high}"',
        '     font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDE}" height="{high}" fill="white"/>',
        *_bars(plan, colours),
        *_legend(colours, 130),
        *_lines(plan, 170 + 20 * legend_rows, 220),
        "</svg>",
        "",
    ])  # fmt: skip


def html(plan: Plan, text: str) -> str:
    """A page with the picture and the plan's text."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Merit plan</title>'
        f"<body style='font-family: sans-serif; max-width: 60rem; margin: 2rem auto'>{svg(plan)}"
        f"<pre style='white-space: pre-wrap'>{escape(text)}</pre></body></html>\n"
    )


def _bars(plan: Plan, colours: dict[str, str]) -> Iterator[str]:
    yield _text(10, 20, "Share of requests", weight="bold")
    for top, side in ((34, "before"), (74, "after")):
        counts = dict.fromkeys(colours, 0)
        for share in plan.shares:
            counts[share.place.candidate] += getattr(share, f"requests_{side}")
        yield _text(10, top + 20, side)
        whole, x = sum(counts.values()) or 1, float(_LEFT)
        for name, count in counts.items():
            width = (_WIDE - _LEFT - _RIGHT) * count / whole
            if count:
                percent = f"{100 * count / whole:.0f} %"
                title = f"<title>{escape(name)}: {count:,} requests, {percent}</title>"
                box = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="30"'
                yield f'<rect {box} fill="{colours[name]}">{title}</rect>'
                if width > 45:
                    yield _text(x + width / 2, top + 20, percent, fill="white", anchor="middle")
            x += width


def _legend(colours: dict[str, str], top: int) -> Iterator[str]:
    for place, (name, colour) in enumerate(colours.items()):
        x, y = _LEFT + (place % 2) * 400, top + (place // 2) * 20
        yield f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{colour}"/>' + _text(x + 18, y, name)


def _lines(plan: Plan, top: int, high: int) -> Iterator[str]:
    unit = f"{plan.bucket_seconds / 3600:g} h" if plan.bucket_seconds >= 3600 else f"{plan.bucket_seconds:.0f} s"
    yield _text(10, top, f"Spend, USD per {unit}", weight="bold")
    most = max(*plan.spend_before, *plan.spend_after, 1)
    bottom = top + 20 + high
    for part in (0.0, 0.5, 1.0):
        y = bottom - high * part
        yield f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield _text(_LEFT - 6, y + 4, f"{most * part / PICO:.4g}", anchor="end")
    for spent, colour in ((plan.spend_before, _BEFORE), (plan.spend_after, _AFTER)):
        yield f'<path d="{_steps(spent, most, bottom, high)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, t, anchor in ((_LEFT, plan.first, "start"), (_WIDE - _RIGHT, plan.last, "end")):
        yield _text(x, bottom + 18, f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M} UTC", anchor=anchor)
    yield _text(_WIDE / 2 - 60, bottom + 18, "before", fill=_BEFORE) + _text(
        _WIDE / 2 + 10, bottom + 18, "after", fill=_AFTER
    )


def _steps(spent: Sequence[int], most: int, bottom: float, high: float) -> str:
    width = (_WIDE - _LEFT - _RIGHT) / len(spent)
    path: list[str] = []
    for place, value in enumerate(spent):
        y = bottom - high * value / most
        path.append(f"{'L' if path else 'M'}{_LEFT + width * place:.1f},{y:.1f}H{_LEFT + width * (place + 1):.1f}")
    return "".join(path)


def _text(
    x: float, y: float, words: str, *, fill: str = "#333333", anchor: str = "start", weight: str = "normal"
) -> str:
    style = f'fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
