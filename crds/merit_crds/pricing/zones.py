"""Time zones by the rules of the package `tzdata`, never by the machine's: equal snapshots mean equal prices."""

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises ZoneInfoNotFoundError where there is none.
    """
    *folders, file = name.split("/")
    try:
        with resources.files(".".join(["tzdata.zoneinfo", *folders])).joinpath(file).open("rb") as data:
            return ZoneInfo.from_file(data, key=name)
    except (OSError, ValueError, ModuleNotFoundError):
        raise ZoneInfoNotFoundError(f"there is no time zone {name!r}") from None


def offset(zone: ZoneInfo, at: int) -> int:
    """Seconds by which the zone's clock is ahead of UTC at an epoch second."""
    ahead = (_EPOCH + timedelta(seconds=at)).astimezone(zone).utcoffset()
    return 0 if ahead is None else int(ahead.total_seconds())
