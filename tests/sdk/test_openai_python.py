"""openai-python's own tests of API resources, through Merit, in front of the mock that the SDK itself is tested with.

Whatever passes straight against the mock must pass through Merit: the mock refuses a request that OpenAI's document
does not allow, so this says of each request that it arrived as it should, and of each answer that the SDK can read it.
What doesn't get through is named in SCOPE, with the reason, and must not get through.
"""

import asyncio
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from tests.sdk import routes
from tests.sdk.mock_server import DOCUMENT, steady
from tests.sdk.scope import PROBE, Scope
from tests.sdk.suite import Suite, suite
from tests.support.merit_process import merit_serve
from tests.support.resources import CONSUMER_KEY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's published document is not at hand"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="the mock comes from npm, and there is none"),
]
_STORE = "needs a store of answers, and Merit has none"
_OTHER = "an endpoint of OpenAI's that is none of a gateway's to models"
_ID = "an id of the test's own: those of Merit's answers say at which provider the file or batch is"
_LIMIT = "it asks for 0 items: the document's words are 1 and up"
_SESSION = "a session over a WebSocket"
SCOPE = Scope(
    served=(
        "audio/test_speech.py",
        "audio/test_transcriptions.py",
        "audio/test_translations.py",
        "chat/test_completions.py",
        "test_batches.py",
        "test_completions.py",
        "test_embeddings.py",
        "test_files.py",
        "test_images.py",
        "test_models.py",
        "test_moderations.py",
        "test_responses.py",
    ),
    not_served={
        "admin/*": _OTHER,
        "audio/test_voice*.py": _OTHER,
        "beta/*": "a beta: agents, assistants, threads, sessions, and responses that are stored",
        "chat/completions/test_messages.py": _STORE,
        "containers/*": _OTHER,
        "conversations/*": _STORE,
        "evals/*": _OTHER,
        "fine_tuning/*": _OTHER,
        "live/*": _SESSION,
        "realtime/*": _SESSION,
        "responses/test_input_items.py": _STORE,
        "responses/test_input_tokens.py": "no other vendor counts the tokens of a response",
        "safety/*": _OTHER,
        "skills/*": _OTHER,
        "test_containers.py": _OTHER,
        "test_content_provenance_checks.py": _OTHER,
        "test_conversations.py": _STORE,
        "test_decisions.py": _OTHER,
        "test_evals.py": _OTHER,
        "test_live.py": _SESSION,
        "test_realtime.py": _SESSION,
        "test_skills.py": _OTHER,
        "test_uploads.py": _OTHER,
        "test_vector_stores.py": _OTHER,
        "test_videos.py": _OTHER,
        "test_webhooks.py": _OTHER,
        "uploads/*": _OTHER,
        "vector_stores/*": _OTHER,
        "webhooks/*": _OTHER,
    },
    excluded={
        "chat/test_completions.py::retrieve": _STORE,
        "chat/test_completions.py::update": _STORE,
        "chat/test_completions.py::list*": _STORE,
        "chat/test_completions.py::delete": _STORE,
        "test_batches.py::cancel": _ID,
        "test_batches.py::create": _ID,
        "test_batches.py::create_with_all_params": _ID,
        "test_batches.py::list_with_all_params": _LIMIT,
        "test_batches.py::retrieve": _ID,
        "test_files.py::delete": _ID,
        "test_files.py::list_with_all_params": _LIMIT,
        "test_files.py::retrieve": _ID,
        "test_files.py::retrieve_content": _ID,
        "test_models.py::delete": "models of a gateway are its ModelRoutes'",
        "test_responses.py::create_overload_[12]": "it names no model and brings no input: its prompt is stored",
        "test_responses.py::create_with_all_params_overload_[12]": f"`previous_response_id` and others: {_STORE}",
        "test_responses.py::retrieve*": _STORE,
        "test_responses.py::delete": _STORE,
        "test_responses.py::cancel": _STORE,
        "test_responses.py::compact*": "what it makes can be read by OpenAI alone",
    },
)
DEFAULTS = ("omni-moderation-latest", "dall-e-2", "gpt-image-1.5")
"""What OpenAI's document says that a request without a model asks for."""
FEWEST = 400
STATELESS = {"MERIT_SDK_WITHOUT": "background conversation previous_response_id prompt"}
"""What of a response's parameters needs a store."""
WHOLE = "_create_ and overload_1"
"""The mock's streams of responses are some events of any kind, and no end: Merit takes none for an answer."""


def _tested() -> Suite:
    return suite("openai", metadata.version("openai"))


async def test_what_passes_against_the_mock_passes_through_merit(tmp_path: Path) -> None:
    tested = await asyncio.to_thread(_tested)
    files = SCOPE.files(tested)
    assert SCOPE.unknown(tested) == []
    async with steady(tmp_path / "mock.log") as mock:
        folder = routes.write(tmp_path / "resources", routes.models(tested, files, *DEFAULTS), ("OpenAI", mock))
        straight = await tested.outcomes(mock, CONSUMER_KEY, files, tmp_path / "straight.xml")
        async with merit_serve(folder) as merit:
            url = f"{merit.url}/v1"
            through = await tested.outcomes(url, CONSUMER_KEY, files, tmp_path / "through.xml")
            others = SCOPE.probes(tested)
            probed = await tested.outcomes(url, CONSUMER_KEY, others, tmp_path / "others.xml", only=PROBE)
    assert SCOPE.faults(through, straight) == {}
    assert sum(outcome == "passed" for outcome in through.values()) >= FEWEST
    assert [test for test, outcome in probed.items() if outcome == "passed"] == []


async def test_responses_that_need_no_store_pass_with_all_their_parameters(tmp_path: Path) -> None:
    tested = await asyncio.to_thread(_tested)
    files = ("tests/api_resources/test_responses.py",)
    async with steady(tmp_path / "mock.log") as mock:
        folder = routes.write(tmp_path / "resources", routes.models(tested, files, "gpt-5.1"), ("OpenAI", mock))
        report = tmp_path / "straight.xml"
        straight = await tested.outcomes(mock, CONSUMER_KEY, files, report, only=WHOLE, **STATELESS)
        async with merit_serve(folder) as merit:
            url, report = f"{merit.url}/v1", tmp_path / "through.xml"
            through = await tested.outcomes(url, CONSUMER_KEY, files, report, only=WHOLE, **STATELESS)
    assert len(through) == 20
    assert {test: outcome for test, outcome in straight.items() if outcome != "passed"} == {}
    assert {test: outcome for test, outcome in through.items() if outcome != "passed"} == {}
