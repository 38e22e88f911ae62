"""Days and months of the calendar, in a time zone."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Span(NamedTuple):
    """Epoch seconds, start inclusive, end exclusive."""

    start: int
    end: int


def span_at(rules: ZoneInfo, at: float, *, months: bool) -> Span:
    """The day or month that an epoch second lies in. A day has 23 to 25 hours."""
    today = datetime.fromtimestamp(at, UTC).astimezone(rules)
    first = datetime(today.year, today.month, 1 if months else today.day, tzinfo=rules)
    if months:
        after = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=rules)
    else:
        next_day = first.replace(tzinfo=None) + timedelta(days=1)
        after = next_day.replace(tzinfo=rules)
    return Span(int(first.timestamp()), int(after.timestamp()))
