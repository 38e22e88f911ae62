"""A pytest plugin for suites of SDKs: their client's key is that of a Consumer."""

import os
import sys

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """The suites' conftest has its key as a constant, and reads it when a client is made."""
    sys.modules["tests.conftest"].api_key = os.environ["MERIT_SDK_KEY"]  # type: ignore[attr-defined]
