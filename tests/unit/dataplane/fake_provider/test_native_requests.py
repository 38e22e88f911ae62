"""Any document that comes on a path of one of these protocols is a request, or refused: never a crash."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.fake_provider.native import asked, native_of
from merit_dataplane.fake_provider.question import InvalidQuestionError

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "role", "text", "toolSpec", "name", "tools", "toolResult", "type", "output"]),
            inner,
        )
    ),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "toolConfig",
        "system",
        "outputConfig",
        "texts",
        "model",
        "tools",
        "stream",
        "max_tokens",
        "input",
        "text",
    ]
)


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/model/m/converse", "/model/m/converse-stream", "/v2/chat", "/v2/embed", "/v1/responses"]
)
@given(st.dictionaries(FIELDS, TREES))
def test_any_request_is_understood_or_refused(path: str, document: dict[str, Any]) -> None:
    native = native_of(path)
    assert native is not None
    with contextlib.suppress(InvalidQuestionError):
        asked(native, document)
