"""The simulated vendor in OpenAI's Responses: its SDK asks, straight and through a gateway that lets bytes pass."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, PROVIDER_KEY, prices, provider, route
from tests.unit.dataplane.fake_provider.conftest import Desk

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOOL: Any = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}, "strict": False}
SEARCH: Any = {"type": "web_search"}
TURNS: Any = [
    {"role": "user", "content": [{"type": "input_text", "text": "Look it up"}]},
    {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "Sun"},
]


class Person(BaseModel):
    name: str
    age: int


@contextlib.asynccontextmanager
async def merit_before(fake: FakeProvider) -> AsyncIterator[Running]:
    listed = prices("a", "1", "5", capabilities="Streaming, Tools, JsonSchema, Responses")
    async with gateway(provider("a", fake.url), listed, route("a"), CONSUMER) as merit:
        yield merit


async def answered(client: openai.AsyncOpenAI, stream: bool, **asked: Any) -> Response:
    if not stream:
        whole: Response = await client.responses.create(model="chat", **asked)
        return whole
    async with client.responses.stream(model="chat", **asked) as events:
        kinds = [event.type async for event in events]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        return await events.get_final_response()


def called(response: Response) -> list[str]:
    return [item.name for item in response.output if item.type == "function_call"]


async def check(client: openai.AsyncOpenAI, stream: bool) -> None:
    said = await answered(client, stream, input="Hello" * 8, instructions="Be short")
    assert (said.status, said.output_text, called(said)) == ("completed", "1, 2, 3", [])
    assert said.usage is not None
    assert (said.usage.input_tokens, said.usage.output_tokens, said.usage.total_tokens) == (12, 8, 20)
    assert said.usage.input_tokens_details.cached_tokens == said.usage.output_tokens_details.reasoning_tokens == 0
    tools = await answered(client, stream, input="Hello", tools=[TOOL])
    assert (tools.output_text, called(tools)) == ("", ["look_up"])
    assert tools.usage is not None
    assert tools.usage.input_tokens == 1
    for plain in ({"tools": [TOOL], "tool_choice": "none"}, {"tools": [SEARCH]}, {}):
        assert (await answered(client, stream, input=TURNS[:1], **plain)).output_text == "1, 2, 3"
    assert (await answered(client, stream, input=TURNS, tools=[TOOL])).output_text == "1, 2, 3"


@pytest.mark.parametrize("stream", [False, True])
async def test_openais_sdk_reads_it(desk: Desk, stream: bool) -> None:
    await check(desk.sdk, stream)
    assert desk.provider.stats.by_model == {"chat": 6}
    assert desk.provider.stats.by_status == {"200": 6}


@pytest.mark.parametrize("stream", [False, True])
async def test_through_a_gateway(stream: bool) -> None:
    async with FakeProvider(api_keys=frozenset({PROVIDER_KEY})) as fake, merit_before(fake) as merit:
        await check(merit.client(), stream)
        assert fake.stats.by_model == {"a-model": 6}
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
    assert {line["operation"] for line in lines} == {"responses"}


async def test_a_schema(desk: Desk) -> None:
    parsed = await desk.sdk.responses.parse(model="m", input="John, 15", text_format=Person)
    assert parsed.output_parsed == Person(name="John", age=15)


async def test_events_are_as_recorded(desk: Desk) -> None:
    answer = await desk.http.post("/v1/responses", json={"model": "m", "input": "Hello", "stream": True})
    assert answer.headers["content-type"] == "text/event-stream"
    blocks = answer.text.removesuffix("\n\n").split("\n\n")
    events = [json.loads(block.partition("\ndata: ")[2]) for block in blocks]
    assert [block.partition("\n")[0] for block in blocks] == [f"event: {event['type']}" for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    usages = [event["response"]["usage"] for event in events if "response" in event]
    assert usages[:-1] == [None, None]
    assert usages[-1]["input_tokens"] == 1


async def test_a_vendor_that_does_not_count() -> None:
    async with FakeProvider(counted=False) as fake, openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client:
        for stream in (False, True):
            said = await answered(client, stream, input="Hello")
            assert said.usage is not None
            assert (said.usage.input_tokens, said.usage.output_tokens) == (14, 8)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "m"}, "Missing required parameter: 'input'."),
        ({"input": "Hello"}, "Missing required parameter: 'model'."),
        ({"model": "m", "input": 5}, "Invalid request"),
        ({"model": "m", "input": ["Hello"]}, "Invalid request"),
    ],
)
async def test_what_is_no_request_is_refused(desk: Desk, body: dict[str, Any], message: str) -> None:
    answer = await desk.http.post("/v1/responses", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", None)
    assert error["message"].startswith(message)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (404, openai.NotFoundError, "model_not_found"),
        (503, openai.InternalServerError, None),
    ],
)
async def test_errors_in_openais_shape(desk: Desk, status: int, error: type[openai.APIError], code: str | None) -> None:
    desk.provider.behaviour = Behaviour(status=status, retry_after="7")
    with pytest.raises(error, match="Simulated status") as caught:
        await desk.sdk.responses.create(model="m", input="Hello")
    assert caught.value.code == code
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_wrong_key(desk: Desk) -> None:
    async with openai.AsyncOpenAI(base_url=desk.provider.url, api_key="another", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            await client.responses.create(model="m", input="Hello")


@pytest.mark.parametrize("fault", ["reset_at_chunk", "eof_at_chunk", "malformed_at_chunk", "half_body"])
@pytest.mark.parametrize("chunk", [8, 999])
async def test_faults_within_a_stream(fault: str, chunk: int) -> None:
    kinds: list[str] = []
    async with FakeProvider(Behaviour(fault=fault, chunk=chunk)) as fake, merit_before(fake) as merit:
        with contextlib.suppress(openai.APIError):  # where it came before the first text, and again, and again
            stream = await merit.client().responses.create(model="chat", input="Hello", stream=True)
            async for event in stream:
                kinds.append(event.type)  # noqa: PERF401 # what came before an error counts
        assert set(fake.stats.by_status) == {"200"}
    assert "response.completed" not in kinds
    assert kinds[-2:] in ([], ["error", "response.failed"])
