"""A pytest plugin for suites of SDKs: their client's key is that of a Consumer, what they send is what Merit can serve.

Tests that bring their server's answers with them ask nobody, and are left out.

With MERIT_SDK_WITHOUT (names of fields) their calls of `responses.create` are made without these, and with a model and
an input where they have none: nothing else would say who is to be asked, and what.
"""

import os
import sys
from typing import Any

import pytest

_ALONE = frozenset({"respx_mock", "respx2_mock"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """RESPX answers in place of the server."""
    items[:] = [item for item in items if _ALONE.isdisjoint(getattr(item, "fixturenames", ()))]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """The suites' conftest has its key as a constant, and reads it when a client is made."""
    sys.modules["tests.conftest"].api_key = os.environ["MERIT_SDK_KEY"]  # type: ignore[attr-defined]
    if without := os.environ.get("MERIT_SDK_WITHOUT", "").split():
        _narrow(without)


def _narrow(without: list[str]) -> None:
    from openai.resources.responses import AsyncResponses, Responses  # noqa: PLC0415 # other suites have no such package

    for resource in (Responses, AsyncResponses):
        create: Any = resource.create

        def narrowed(self: Any, *, of: Any = create, **given: Any) -> Any:
            kept = {name: value for name, value in given.items() if name not in without}
            return of(self, **{"model": "gpt-5.1", "input": "string", **kept})

        resource.create = narrowed  # type: ignore[assignment, method-assign, unused-ignore]
