"""Field types shared by the resources: each knows its pattern, its bound, and the words that help a user to fix it."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class Part(BaseModel):
    """Base of every part of a resource: frozen, camelCase on the wire, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, strict=True)


def _text(pattern: str, hint: str, *, longest: int) -> tuple[BeforeValidator, WithJsonSchema]:
    compiled = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise PydanticCustomError("type", "must be a quoted string: {hint}", {"hint": hint})
        if len(value) > longest:
            raise PydanticCustomError("length", "must have at most {longest} characters", {"longest": longest})
        if not compiled.fullmatch(value) or not _is_unicode(value):  # search would let `$` pass a trailing line break
            raise PydanticCustomError("format", "must be {hint}", {"hint": hint})
        return value

    schema = {"type": "string", "pattern": pattern, "maxLength": longest, "minLength": 1}
    return BeforeValidator(check), WithJsonSchema(schema)


def _is_unicode(value: str) -> bool:
    """False for half a surrogate pair, which JSON and YAML can hold and no encoding can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


Name = Annotated[str, *_text(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a DNS label such as 'us-east-1'", longest=63)]
"""A lower-case DNS label."""

ObjectName = Annotated[
    str, *_text(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "the name of an object, such as 'openai'", longest=253)
]
"""The name of a Kubernetes object."""

SecretKey = Annotated[str, *_text(r"^[-._a-zA-Z0-9]+$", "a key of a Secret, such as 'apiKey'", longest=253)]

ModelName = Annotated[
    str,
    *_text(r"^[A-Za-z0-9][-A-Za-z0-9._:/@+]*$", "a model name without spaces, such as 'gpt-4o-mini'", longest=128),
]
"""A model's name, at a vendor or as clients ask for it."""

HeaderName = Annotated[
    str, *_text(r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$", "an HTTP header name, such as 'OpenAI-Organization'", longest=64)
]
HeaderValue = Annotated[str, *_text(r"^[\x20-\x7e]+$", "printable ASCII without line breaks", longest=1024)]

QueryName = Annotated[
    str, *_text(r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$", "the name of a query parameter, such as 'key'", longest=64)
]
QueryValue = Annotated[
    str, *_text(r"^[-A-Za-z0-9._~:/@+,]+$", "letters, digits and -._~:/@+, such as '2024-10-21'", longest=256)
]
HeaderPrefix = Annotated[str, *_text(r"^[\x21-\x7e]+ ?$", "a word of printable ASCII, such as 'Bearer '", longest=64)]
Scope = Annotated[
    str,
    *_text(
        r"^[-A-Za-z0-9._~:/]+$",
        "a scope such as 'https://cognitiveservices.azure.com/.default'",
        longest=256,
    ),
]
Tenant = Annotated[str, *_text(r"^[A-Za-z0-9][-A-Za-z0-9.]*$", "the id or domain of a tenant", longest=128)]
ClientId = Annotated[str, *_text(r"^[A-Za-z0-9][-A-Za-z0-9]*$", "an application's (client) id", longest=64)]

_LABEL = "[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
Url = Annotated[
    str,
    *_text(
        rf"^https?://({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:{_PORT})?(/[-A-Za-z0-9._~/%:]*)?$",
        "an http(s) URL up to and with the version, such as 'https://api.openai.com/v1', without query or user",
        longest=512,
    ),
]

Price = Annotated[
    str,
    *_text(
        r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?$",
        'a decimal string of at most 7 digits and 6 decimals in USD, such as "0.15"',
        longest=14,
    ),
]
"""Decimal USD: per million tokens, or per call where the field says so. Six decimals are one pico-dollar per token."""

Amount = Annotated[
    str,
    *_text(
        r"^(0\.[0-9]{0,5}[1-9]|[1-9][0-9]{0,11}(\.[0-9]{1,6})?)$",
        'a decimal string above 0 of at most 12 digits and 6 decimals, such as "100000"',
        longest=19,
    ),
]
"""Decimal USD, or of the price list's currency."""

Weight = Annotated[
    str,
    *_text(
        r"^(0|[1-9][0-9]{0,2})(\.[0-9]{1,4})?$",
        'a decimal string of at most 3 digits and 4 decimals, such as "4"',
        longest=8,
    ),
]

Percent = Annotated[
    str,
    *_text(
        r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$", 'a decimal string from "0" to "100", such as "50"', longest=8
    ),
]

PositivePercent = Annotated[
    str,
    *_text(
        r"^(100(\.0{1,4})?|[1-9][0-9]?(\.[0-9]{1,4})?|0\.[0-9]{0,3}[1-9])$",
        'a decimal string above "0" and up to "100", such as "10"',
        longest=8,
    ),
]
CostPercent = Annotated[
    str,
    *_text(
        r"^(0|[1-9][0-9]{0,4})(\.[0-9]{1,4})?$",
        'a decimal string of at most 5 digits and 4 decimals, such as "200"',
        longest=10,
    ),
]
"""Of a cost that may be many times another."""

CurrencyCode = Annotated[str, *_text(r"^[A-Z]{3}$", "an ISO 4217 code such as 'CNY'", longest=3)]
ExchangeRate = Annotated[
    str,
    *_text(
        r"^(0\.[0-9]{0,9}[1-9]|[1-9][0-9]{0,3}(\.[0-9]{1,10})?)$",
        'a decimal string above 0, such as "0.1389"',
        longest=16,
    ),
]

SmallFraction = Annotated[
    str, *_text(r"^0(\.(0[0-9]{0,3}|1(0{1,3})?))?$", 'a decimal string from "0" to "0.1", such as "0.01"', longest=6)
]
Fraction = Annotated[
    str, *_text(r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$", 'a decimal string from "0" to "1", such as "0.92"', longest=6)
]
Confidence = Annotated[
    str,
    *_text(r"^0\.(5|[5-9][0-9]{0,3})$", 'a decimal string from "0.5" to "0.9999", such as "0.9"', longest=6),
]

Similarity = Annotated[
    str,
    *_text(r"^(0\.(5|[5-9][0-9]{0,3})|1(\.0{1,4})?)$", 'a decimal string from "0.5" to "1", such as "0.97"', longest=6),
]

HalfLife = Annotated[
    str,
    *_text(
        r"^(2[4-9]|[3-9][0-9]|[1-9][0-9]{2}|1[0-9]{3}|20[0-9]{2}|21[0-5][0-9]|2160)h$",
        "whole hours from '24h' to '2160h', such as '336h'",
        longest=5,
    ),
]

Duration = Annotated[
    str, *_text(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$", "a duration such as '500ms', '30s' or '1m30s'", longest=24)
]
"""A Gateway API duration."""

_DATE = "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
Date = Annotated[str, *_text(rf"^{_DATE}$", "a date such as '2026-10-01'", longest=10)]
Instant = Annotated[
    str,
    *_text(
        rf"^{_DATE}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$",
        "an instant in UTC, such as '2026-12-01T00:00:00Z'",
        longest=20,
    ),
]
StartTime = Annotated[str, *_text(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "a time of day such as '16:30'", longest=5)]
EndTime = Annotated[
    str, *_text(r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", "a time of day such as '16:30' or '24:00'", longest=5)
]
TimeZone = Annotated[
    str,
    *_text(
        r"^[A-Za-z][-A-Za-z0-9_+]*(/[A-Za-z][-A-Za-z0-9_+]*){0,2}$",
        "an IANA time zone such as 'Asia/Shanghai' or 'UTC'",
        longest=48,
    ),
]

Pattern = Annotated[str, *_text(r"^[^\x00]+$", "an RE2 pattern such as '(?i)refund|chargeback'", longest=256)]

NamespaceGrant = Annotated[
    str, *_text(r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", "a namespace, or '*' for all of them", longest=63)
]

Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
"""A number of tokens."""

Volume = Annotated[int, Field(ge=1, le=1_000_000_000_000_000)]
"""Tokens or requests of a whole period."""


class SecretKeySelector(Part):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field(description="Key inside the Secret.")


class ObjectRef(Part):
    """A resource by name; in another namespace only where that resource's allowedNamespaces says so."""

    name: ObjectName = Field(description="Name of the resource.")
    namespace: Name | None = Field(
        default=None, description="Its namespace; this one when absent. Another one must allow it in allowedNamespaces."
    )


_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def milliseconds(duration: str) -> int:
    """A `Duration` in whole milliseconds."""
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


def epoch_seconds(instant: str) -> int:
    """An `Instant` in seconds since 1970. Raises ValueError for a day that no month has."""
    return int(datetime.fromisoformat(instant).timestamp())


def epoch_day(day: str) -> int:
    """A `Date` in days since 1970. Raises ValueError for a day that no month has."""
    return date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()


def day_seconds(time: str) -> int:
    """A `StartTime` or `EndTime` in seconds since midnight."""
    return int(time[:2]) * 3600 + int(time[3:]) * 60


def listed(
    *, keys: tuple[str, ...] = (), unique: bool = False, rules: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Kubernetes list semantics and CEL rules, as (rule, message a user sees), for a field's schema."""
    made: dict[str, Any] = {"x-kubernetes-list-type": "map" if keys else "set" if unique else "atomic"}
    if keys:
        made["x-kubernetes-list-map-keys"] = list(keys)
    return made | (checked(*rules) if rules else {})


def checked(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules, as (rule, message a user sees), for a schema."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}
