"""When prices other than the usual hold: hours of the week in a time zone."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.fields import Date, EndTime, Name, Part, StartTime, TimeZone, listed

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Holiday"]


class WindowSpec(Part):
    """Hours of some days, by the clock of the time zone."""

    days: tuple[Day, ...] = Field(
        default=(),
        max_length=8,
        description="Days on which it starts; every day, holidays included, when absent.",
        json_schema_extra=listed(unique=True),
    )
    from_: StartTime = Field(alias="from", description="Time of day from which it holds, inclusive.")
    to: EndTime = Field(
        description="Time of day at which it no longer holds; not later than `from`: it ends on the next day."
    )


class ScheduleSpec(Part):
    """Hours of the week; `schedules` of a model says what is charged in them."""

    name: Name = Field(description="Name that models refer to.")
    time_zone: TimeZone = Field(description="IANA time zone whose clock counts; daylight saving included.")
    windows: tuple[WindowSpec, ...] = Field(
        min_length=1, max_length=16, description="It holds in any of these.", json_schema_extra=listed()
    )
    holidays: tuple[Date, ...] = Field(
        default=(),
        max_length=64,
        description="Dates in the time zone that are a `Holiday` instead of their day of the week.",
        json_schema_extra=listed(unique=True),
    )
