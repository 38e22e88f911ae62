"""anthropic-sdk-python's own tests of API resources, through Merit, in front of two vendors.

The mock that they are made for answers by Anthropic's document, which is not at hand. So Merit translates: the mock of
OpenAI's document says of each request that what became of it is allowed there, and the SDK of each answer that it is
Anthropic's. What no other protocol can say has to go to the second vendor of each route, which speaks Anthropic's. In
front of that one alone the bytes pass. What doesn't get through is named in SCOPE, with the reason, and must not.
"""

import asyncio
import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from anthropic._data import DEPRECATED_MODELS

from tests.sdk import routes
from tests.sdk.fake_vendor import fake_vendor
from tests.sdk.mock_server import DOCUMENT, steady
from tests.sdk.scope import PROBE, Scope, call
from tests.sdk.suite import Suite, suite
from tests.support.gateway import eventually
from tests.support.merit_process import Merit, merit_serve
from tests.support.resources import CONSUMER_KEY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's published document is not at hand"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="the mock comes from npm, and there is none"),
]
_OTHER = "an endpoint of Anthropic's that is none of a gateway's to models"
SCOPE = Scope(
    served=(
        "beta/test_messages.py",
        "beta/test_models.py",
        "beta/test_output_format_conversion.py",  # what asks nobody but itself is left out
        "test_messages.py",
        "test_models.py",
    ),
    not_served={
        "beta/messages/test_batches.py": "batches of messages are none of the endpoints that Merit has",
        "messages/test_batches.py": "batches of messages are none of the endpoints that Merit has",
        "beta/test_files.py": "files of Anthropic's are none of the endpoints that Merit has",
        "test_files.py": "files of Anthropic's are none of the endpoints that Merit has",
        "beta/*": _OTHER,
        "organization/*": _OTHER,
        "skills/*": _OTHER,
        "test_organization.py": _OTHER,
        "test_skills.py": _OTHER,
        "test_user_profiles.py": _OTHER,
        "user_profiles/*": _OTHER,
    },
)
READ_ALL_THE_SAME = {"beta/test_files.py::list", "test_files.py::list"}
"""OpenAI's list of files is at the same path, and the SDK checks nothing of an answer to this test."""
FEWEST = 200


def _tested() -> Suite:
    return suite("anthropic", metadata.version("anthropic"))


async def _lines(merit: Merit) -> list[dict[str, object]]:
    await eventually(lambda: len(merit.log) > FEWEST // 2, "requests are missing in the usage log", 30)
    return [json.loads(line) for line in merit.log]


def left_early(line: dict[str, Any]) -> bool:
    """Some tests close a stream that they have not read to its end."""
    return bool(line["status"] == 499 and line["attempts"] == 1 and "Streaming" in line["features"])


async def test_the_suite_passes_in_front_of_a_vendor_of_openais_protocol(tmp_path: Path) -> None:
    tested = await asyncio.to_thread(_tested)
    files = SCOPE.files(tested)
    assert SCOPE.unknown(tested) == []
    async with steady(tmp_path / "mock.log") as mock, fake_vendor() as claude:
        vendors = ("OpenAI", mock), ("Anthropic", f"{claude}/v1")
        folder = routes.write(tmp_path / "resources", routes.models(tested, files, *DEPRECATED_MODELS), *vendors)
        async with merit_serve(folder) as merit:
            through = await tested.outcomes(merit.url, CONSUMER_KEY, files, tmp_path / "through.xml")
            others = SCOPE.probes(tested)
            probed = await tested.outcomes(merit.url, CONSUMER_KEY, others, tmp_path / "others.xml", only=PROBE)
            lines = await _lines(merit)
    assert SCOPE.faults(through) == {}
    assert sum(outcome == "passed" for outcome in through.values()) >= FEWEST
    assert {call(test) for test, outcome in probed.items() if outcome == "passed"} == READ_ALL_THE_SAME
    # the mock has refused nothing, and nobody has stood in for it
    assert {(line["status"], line["attempts"]) for line in lines if not left_early(line)} == {(200, 1)}
    assert {str(line["provider"])[:10] for line in lines} == {"default/v0", "default/v1"}


async def test_the_suite_passes_in_front_of_a_vendor_of_anthropics_protocol(tmp_path: Path) -> None:
    tested = await asyncio.to_thread(_tested)
    files = SCOPE.files(tested)
    async with fake_vendor() as claude:
        names = routes.models(tested, files, *DEPRECATED_MODELS)
        folder = routes.write(tmp_path / "resources", names, ("Anthropic", f"{claude}/v1"))
        async with merit_serve(folder) as merit:
            through = await tested.outcomes(merit.url, CONSUMER_KEY, files, tmp_path / "through.xml")
            lines = await _lines(merit)
    assert SCOPE.faults(through) == {}
    assert {(line["status"], line["attempts"]) for line in lines if not left_early(line)} == {(200, 1)}
