"""openai-node against Merit, in front of the mock that its project tests it with: every method, with every parameter.

Its own tests of API resources are in none of its packages, so the calls are made of OpenAI's document (`calls`). The
mock has to find each request as that document allows, without Merit and with it.
"""

import asyncio
import json
import re
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.sdk import routes
from tests.sdk.calls import Call, Method, calls
from tests.sdk.environments import node_with
from tests.sdk.mock_server import DOCUMENT, steady
from tests.support.merit_process import merit_serve
from tests.support.resources import CONSUMER_KEY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's published document is not at hand"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="the mock comes from npm, and there is none"),
]
_PROJECT = Path(__file__).parent / "clients/node"
MODEL = "gpt-5.1"
_NAMED = {"model": MODEL}
_STORED = ("background", "conversation", "previous_response_id", "prompt")
"""Parameters of a response that need a store of them: Merit has none, and says so."""
SERVED = (
    Method("chat.completions.create", "/chat/completions", always=_NAMED),
    Method("completions.create", "/completions", always=_NAMED),
    Method("embeddings.create", "/embeddings", always=_NAMED),
    Method("images.generate", "/images/generations", always=_NAMED),
    Method("images.edit", "/images/edits", always=_NAMED),
    Method("images.createVariation", "/images/variations", always=_NAMED),
    Method("audio.speech.create", "/audio/speech", always=_NAMED),
    Method("audio.transcriptions.create", "/audio/transcriptions", always=_NAMED),
    Method("audio.translations.create", "/audio/translations", always=_NAMED),
    Method("batches.list", "/batches", "get"),
    Method("files.create", "/files"),
    Method("files.list", "/files", "get"),
    Method("moderations.create", "/moderations", always=_NAMED),
    Method("models.list", "/models", "get"),
    Method("models.retrieve", "/models/{model}", "get", positional=(MODEL,)),
    Method("responses.create", "/responses", always={**_NAMED, "input": "string"}, never=_STORED),
)
EXCLUDED = {"responses.create: stream": "the mock's events are of any kind, and never the last: that is no answer"}
"""Calls that don't get through, and must not."""
OF_THE_SDK = re.compile(r"\.(parse|runTools|stream)$")
"""Methods that call others of the SDK, and no endpoint of their own."""
NOT_SERVED = re.compile(
    r"chat\.completions\.(retrieve|update|list|delete|messages\..*)|models\.delete|responses\.(?!create|parse|stream).*"
    r"|(files|batches|uploads|fineTuning|graders|vectorStores|webhooks|beta|evals|containers|conversations|realtime|skills"
    r"|videos|admin)\..*"
)
"""Methods of endpoints that Merit hasn't, or of ids that only its answers tell; test_openai_python says why of each."""


async def _made(base_url: str, wanted: list[Call]) -> dict[str, Any]:
    folder = await asyncio.to_thread(node_with, "clients-node", _PROJECT)
    process = await asyncio.create_subprocess_exec(
        "node", folder / "calls.js", base_url, CONSUMER_KEY, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate(json.dumps([call.plain() for call in wanted]).encode())
    assert process.returncode == 0, err.decode()[-3000:]
    made: dict[str, Any] = json.loads(out)
    return made


async def test_every_call_passes_through_merit(tmp_path: Path) -> None:
    wanted = [call for method in SERVED for call in calls(DOCUMENT, method)]
    assert len(wanted) > 140
    async with steady(tmp_path / "mock.log") as mock:
        straight = await _made(mock, wanted)
        async with merit_serve(routes.write(tmp_path / "resources", [MODEL], ("OpenAI", mock))) as merit:
            through = await _made(f"{merit.url}/v1", wanted)
    assert {name: outcome for name, outcome in straight["outcomes"].items() if outcome != "passed"} == {}
    assert {name for name, outcome in through["outcomes"].items() if outcome != "passed"} == set(EXCLUDED)
    called = {method.name for method in SERVED}
    left = [m for m in through["methods"] if m not in called and not OF_THE_SDK.search(m)]
    assert [method for method in left if not NOT_SERVED.fullmatch(method)] == []


async def test_what_needs_a_store_is_refused_by_name(tmp_path: Path) -> None:
    method = Method("responses.create", "/responses", always={**_NAMED, "input": "string"})
    wanted = [call for call in calls(DOCUMENT, method) if call.name.rpartition(": ")[2] in _STORED]
    folder = routes.write(tmp_path / "resources", [MODEL], ("OpenAI", "http://127.0.0.1:9"))  # nobody is asked
    async with merit_serve(folder) as merit:
        refused = (await _made(f"{merit.url}/v1", wanted))["outcomes"]
    assert sorted(name.rpartition(": ")[2] for name in refused) == sorted(_STORED)
    for name, outcome in refused.items():
        assert re.match(rf"400: 400 '{name.rpartition(': ')[2]}' needs stored responses", outcome), outcome
