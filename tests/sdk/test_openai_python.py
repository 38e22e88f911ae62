"""openai-python's own tests of API resources, through Merit, in front of the mock that the SDK itself is tested with.

Whatever passes straight against the mock must pass through Merit: the mock refuses a request that OpenAI's document
does not allow, so this says of each request that it arrived as it should, and of each answer that the SDK can read it.
"""

import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from merit_dataplane.wire.features import BY_NAME
from tests.sdk.mock_server import DOCUMENT, steady
from tests.sdk.suite import Suite, suite
from tests.support.merit_process import merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's published document is not at hand"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="the mock comes from npm, and there is none"),
]
_RESOURCES = "tests/api_resources/"
SERVED = {
    "audio/test_speech.py": "create",
    "audio/test_transcriptions.py": "create",
    "audio/test_translations.py": "create",
    "chat/test_completions.py": "create",
    "test_completions.py": "create(?!.*overload_2)",  # OpenAI's document has no events there: the mock sends none
    "test_embeddings.py": "create",
    "test_images.py": "create_variation|edit|generate",
    "test_moderations.py": "create",
    "test_models.py": "retrieve|list",
}
"""Files of the suite, and which of their tests are of endpoints that Merit serves."""
FEWEST = 250
DEFAULTS = {"omni-moderation-latest", "dall-e-2", "gpt-image-1.5"}
"""What OpenAI's document says that a request without a model asks for."""
ALL = ", ".join(BY_NAME)
_MODEL = re.compile(r'\bmodel="([^"]+)"')


def _resources(mock: str, models: list[str]) -> str:
    """Every model name of the suite as a route; the mock is the provider of all."""
    documents = [CONSUMER]
    for place, model in enumerate(models):
        name = f"mock-{place}"
        documents += [
            provider(name, mock),
            prices(name, "1", "2", model=model, capabilities=ALL),
            route(name, name=name, model=model).replace(f"{name}-model", model),
        ]
    return "\n---\n".join(documents)


def _models(tested: Suite) -> list[str]:
    found = (_MODEL.findall((tested.source / _RESOURCES / file).read_text()) for file in SERVED)
    return sorted(DEFAULTS.union(*found))


def _served(outcomes: dict[str, str]) -> dict[str, str]:
    modules = {f"{_RESOURCES}{file}".removesuffix(".py").replace("/", "."): names for file, names in SERVED.items()}
    return {
        test: outcome
        for test, outcome in outcomes.items()
        if any(test.startswith(f"{module}.") and re.search(names, test) for module, names in modules.items())
    }


async def test_what_passes_against_the_mock_passes_through_merit(tmp_path: Path) -> None:
    tested = suite("openai", metadata.version("openai"))
    files = tuple(_RESOURCES + file for file in SERVED)
    async with steady(tmp_path / "mock.log") as mock:
        (tmp_path / "resources").mkdir()
        (tmp_path / "resources/all.yaml").write_text(_resources(mock, _models(tested)))
        straight = _served(await tested.outcomes(mock, CONSUMER_KEY, files, tmp_path / "straight.xml"))
        async with merit_serve(tmp_path / "resources") as merit:
            url = f"{merit.url}/v1"
            through = _served(await tested.outcomes(url, CONSUMER_KEY, files, tmp_path / "through.xml"))
    passes = {test for test, outcome in straight.items() if outcome == "passed"}
    assert len(passes) >= FEWEST
    assert {test: through.get(test, "did not run") for test in passes if through.get(test) != "passed"} == {}
