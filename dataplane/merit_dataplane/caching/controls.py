"""What a request says of the cache, in the words that clients know.

    Cache-Control: no-store, no-cache, max-age=N, only-if-cached            RFC 9111, section 5.2.1
    "cache": {"no-store", "no-cache", "ttl", "s-maxage", "namespace"}       LiteLLM's field of the body
    X-OpenRouter-Cache: true|false, -TTL: seconds, -Clear: true             OpenRouter's headers
    x-merit-cache-tags: a, b                                                names by which the answer can be removed

A request can ask for less than its route allows, never for more.
"""

import re
from math import inf
from typing import NamedTuple

import msgspec

from merit_dataplane.snapshots.tables import Headers
from merit_dataplane.wire.errors import RequestError

_TAGS = "x-merit-cache-tags"
_MOST_TAGS = 16
_TAG = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")
_NAMES = frozenset({
    b"cache-control", b"x-openrouter-cache", b"x-openrouter-cache-ttl", b"x-openrouter-cache-clear",
    _TAGS.encode(),
})  # fmt: skip


class Controls(NamedTuple):
    """Of one request."""

    reads: bool = True
    """Whether an answer that is kept may be served."""
    writes: bool = True
    """Whether the answer may be kept, and shared with identical requests under way."""
    only_cached: bool = False
    """Whether nobody is to be asked."""
    ttl: float = inf
    """Most seconds that its answer is kept."""
    max_age: float = inf
    """Most seconds that an answer may be old."""
    namespace: str = ""
    tags: tuple[str, ...] = ()
    openrouter: bool = False
    """Whether the client speaks OpenRouter's headers, and wants to hear of the cache in them."""


NONE = Controls()


class _Field(msgspec.Struct):
    no_cache: bool | None = msgspec.field(default=None, name="no-cache")
    no_store: bool | None = msgspec.field(default=None, name="no-store")
    ttl: float | None = None
    s_maxage: float | None = msgspec.field(default=None, name="s-maxage")
    namespace: str | None = None


_field = msgspec.json.Decoder(_Field)


def controls(headers: Headers, field: msgspec.Raw | None) -> Controls:
    """`field` is the body's `cache`. Raises RequestError (400) that names what makes no sense."""
    said = [(name, value) for name, value in headers if name in _NAMES]
    if not said and field is None:
        return NONE
    found = NONE
    for name, raw in said:
        value = raw.decode("latin-1").strip()
        if name == b"cache-control":
            found = _cache_control(found, value)
        elif name == _TAGS.encode():
            found = found._replace(tags=_tags(value))
        else:
            found = _openrouter(found, name.decode(), value)
    return found if field is None else _litellm(found, field)


def _cache_control(found: Controls, value: str) -> Controls:
    for directive in value.lower().split(","):
        name, _, argument = directive.strip().partition("=")
        if name == "no-store":
            found = found._replace(reads=False, writes=False)
        elif name == "no-cache":
            found = found._replace(reads=False)
        elif name == "only-if-cached":
            found = found._replace(only_cached=True)
        elif (
            name == "max-age" and argument.strip('"').isdecimal()
        ):  # what makes no sense is passed over, as RFC 9111 says
            found = found._replace(max_age=min(found.max_age, float(argument.strip('"'))))
    return found


def _openrouter(found: Controls, name: str, value: str) -> Controls:
    found = found._replace(openrouter=True)
    if name == "x-openrouter-cache-ttl":
        return found._replace(ttl=min(found.ttl, _seconds(value, name)))
    if value.lower() not in {"true", "false"}:
        raise RequestError(400, f"The header {name} must be true or false (is {value[:40]!r}).", param=name)
    if name == "x-openrouter-cache" and value.lower() == "false":
        return found._replace(reads=False, writes=False)
    if name == "x-openrouter-cache-clear" and value.lower() == "true":
        return found._replace(reads=False)
    return found


def _litellm(found: Controls, field: msgspec.Raw) -> Controls:
    if bytes(field) == b"null":
        return found
    try:
        asked = _field.decode(field)
    except ValueError as error:
        raise RequestError(400, f"Invalid value for 'cache': {error}.", param="cache") from None
    if asked.no_store:
        found = found._replace(reads=False, writes=False)
    if asked.no_cache:
        found = found._replace(reads=False)
    if asked.ttl is not None:
        found = found._replace(ttl=min(found.ttl, _seconds(asked.ttl, "cache.ttl")))
    if asked.s_maxage is not None:
        found = found._replace(max_age=min(found.max_age, _seconds(asked.s_maxage, "cache.s-maxage")))
    return found._replace(namespace=asked.namespace) if asked.namespace else found


def _seconds(value: str | float, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < inf:
        raise RequestError(400, f"{name} must be a number of seconds, 0 or more (is {str(value)[:40]!r}).", param=name)
    return seconds


def _tags(value: str) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(tag.strip() for tag in value.split(",") if tag.strip()))
    wrong = next((tag for tag in tags if not _TAG.fullmatch(tag)), None)
    if wrong is not None or len(tags) > _MOST_TAGS:
        shown = f"{wrong[:80]!r} is none" if wrong is not None else f"there are {len(tags)}"
        raise RequestError(
            400,
            f"{_TAGS} takes up to {_MOST_TAGS} names of 1 to 64 visible characters, with commas between them: {shown}.",
            param=_TAGS,
        )
    return tags
