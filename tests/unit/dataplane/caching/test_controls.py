"""What a request may say of the cache, in three dialects."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.caching.controls import NONE, Controls, controls
from merit_dataplane.wire.errors import RequestError


def said(field: Any = ..., **headers: str) -> Controls:
    raw = None if field is ... else msgspec.Raw(json.dumps(field).encode())
    named = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return controls(named, raw)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (said(), {}),
        (said(authorization="Bearer x"), {}),
        (said(cache_control="no-store"), {"reads": False, "writes": False}),
        (said(cache_control="No-Cache"), {"reads": False}),
        (said(cache_control="max-age=60"), {"max_age": 60.0}),
        (said(cache_control="max-age=60, only-if-cached"), {"max_age": 60.0, "only_cached": True}),
        (said(cache_control="max-age=nonsense, private"), {}),
        (said({"no-cache": True}), {"reads": False}),
        (said({"no-store": True, "no-cache": False}), {"reads": False, "writes": False}),
        (said({"ttl": 30, "s-maxage": 10.5, "namespace": "n"}), {"ttl": 30.0, "max_age": 10.5, "namespace": "n"}),
        (said(None), {}),
        (said(x_openrouter_cache="true"), {"openrouter": True}),
        (said(x_openrouter_cache="false"), {"openrouter": True, "reads": False, "writes": False}),
        (said(x_openrouter_cache_ttl="300"), {"openrouter": True, "ttl": 300.0}),
        (said(x_openrouter_cache_clear="true"), {"openrouter": True, "reads": False}),
        (said(x_merit_cache_tags="faq, returns,faq"), {"tags": ("faq", "returns")}),
        (said({"ttl": 30}, x_openrouter_cache_ttl="20"), {"openrouter": True, "ttl": 20.0}),
    ],
)
def test_words(found: Controls, expected: dict[str, Any]) -> None:
    assert found == NONE._replace(**expected)


@pytest.mark.parametrize(
    ("field", "headers", "words"),
    [
        ({"ttl": -1}, {}, "cache.ttl must be a number of seconds, 0 or more (is '-1.0')"),
        ({"ttl": "soon"}, {}, "Invalid value for 'cache'"),
        ("yes", {}, "Invalid value for 'cache'"),
        (..., {"x_openrouter_cache": "maybe"}, "must be true or false (is 'maybe')"),
        (..., {"x_openrouter_cache_ttl": "1h"}, "must be a number of seconds, 0 or more (is '1h')"),
        (..., {"x_merit_cache_tags": "a b"}, "'a b' is none"),
        (..., {"x_merit_cache_tags": ",".join(map(str, range(17)))}, "there are 17"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(field: Any, headers: dict[str, str], words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)) as refused:
        said(field, **headers)
    assert refused.value.status == 400


@given(st.dictionaries(st.sampled_from(["cache-control", "x-openrouter-cache-ttl", "x-merit-cache-tags"]), st.binary()))
def test_any_bytes_are_understood_or_refused(headers: dict[str, bytes]) -> None:
    try:
        controls(tuple((name.encode(), value) for name, value in headers.items()), None)
    except RequestError as refusal:
        assert refusal.status == 400  # noqa: PT017 # either is right
