"""Vendors that speak OpenAI's protocol with a difference, through the gateway and on their recorded exchanges."""

import contextlib
import json
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from merit_crds.pricing import CostDetails, Usage
from merit_crds.v1alpha1.provider import ProviderSpec
from merit_dataplane.wire.dialects import DIALECTS, Dialect, dialect_of
from merit_dataplane.wire.openai_request import Call, Operation, parse
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.openai_vendors.errors import openai_error
from merit_dataplane.wire.openai_vendors.table import VENDORS
from merit_dataplane.wire.streamed import StreamedAnswer
from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import Script, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, prices, provider, route

HOSTS = {
    "openai": "https://api.openai.com/v1",
    "azure": "https://x.services.ai.azure.com/models",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com",
    "groq": "https://api.groq.com/openai/v1",
    "xai": "https://api.x.ai/v1",
    "together": "https://api.together.xyz/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "ollama": "https://ollama.com/v1",
    "perplexity": "https://api.perplexity.ai",
    "zai": "https://api.z.ai/api/paas/v4",
}
ALL = [(name, c) for name in (*HOSTS, "gpustack") for c in cassettes(name, "chat.completions") if c.body]
WHOLE = [(n, c) for n, c in ALL if c.status == 200 and not c.streamed and c.body.lstrip().startswith(b"{")]
STREAMED = [(n, c) for n, c in ALL if c.status == 200 and c.streamed]
REFUSED = [(n, c) for n, c in ALL if c.status >= 400]
HELLO: Any = [{"role": "user", "content": "Hello"}]
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'


def of(vendor: str) -> Dialect:
    dialect = dialect_of("OpenAI", "GPUStack" if vendor == "gpustack" else "", HOSTS.get(vendor, "http://10.0.0.1/v1"))
    assert dialect is not None
    return dialect


def call(**fields: Any) -> Call:
    return parse(Operation.CHAT, json.dumps({"model": "chat", "messages": HELLO} | fields).encode())


def sent(vendor: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(of(vendor).request(call(**fields), msgspec.Raw(b'"m"'), 0))
    assert made.pop("model") == "m"
    return made


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def name(case: Any) -> str:
    return case[1].name if isinstance(case, tuple) else str(case)


def test_the_field_of_the_resource_knows_the_rows_of_the_table() -> None:
    annotation = json.dumps(ProviderSpec.model_json_schema()["properties"]["vendor"])
    assert {*VENDORS, "None"} == set(json.loads(annotation)["anyOf"][0]["enum"])


def test_who_is_in_no_row_gets_openais_dialect_itself() -> None:
    for url in (HOSTS["openai"], HOSTS["openrouter"], HOSTS["xai"], "https://mistral.example.com/v1"):
        assert dialect_of("OpenAI", "", url) is DIALECTS["OpenAI"]
    assert dialect_of("OpenAI", "None", HOSTS["mistral"]) is DIALECTS["OpenAI"]
    assert dialect_of("Anthropic", "", HOSTS["mistral"]) is DIALECTS["Anthropic"]


def test_mistral_gets_its_own_names_and_nothing_that_it_refuses() -> None:
    history = [*HELLO, {"role": "assistant", "content": "a", "reasoning_content": "hm", "refusal": None}, *HELLO]
    made = sent("mistral", messages=history, stream=True, max_completion_tokens=5, seed=3, user="u", logit_bias={}, n=2)
    assert made == {
        "messages": [*HELLO, {"role": "assistant", "content": "a"}, *HELLO],
        "stream": True,
        "max_tokens": 5,
        "random_seed": 3,
        "n": 2,
    }


@pytest.mark.parametrize("vendor", ["deepseek", "together", "ollama", "perplexity", "zai"])
def test_the_limit_has_the_name_that_is_known(vendor: str) -> None:
    made = sent(vendor, max_completion_tokens=5, user="u", stream=True)
    assert made == {"messages": HELLO, "max_tokens": 5, "user": "u", "stream": True,
                    "stream_options": {"include_usage": True}}  # fmt: skip
    assert sent(vendor, max_completion_tokens=None, max_tokens=7)["max_tokens"] == 7


def test_groq_gets_none_of_what_it_refuses() -> None:
    assert sent("groq", logit_bias={"1": 1}, max_completion_tokens=5) == {"messages": HELLO, "max_completion_tokens": 5}


def test_what_is_kept_is_told_to_who_requires_it() -> None:
    kept = of("mistral").keeps(Operation.CHAT, "m")
    assert kept is not None
    assert [field in kept for field in ("seed", "max_completion_tokens", "user", "logit_bias")] == [
        True,
        True,
        False,
        False,
    ]
    kept = of("groq").keeps(Operation.CHAT, "m")
    assert kept is not None
    assert [field in kept for field in ("seed", "logit_bias")] == [True, False]
    assert of("deepseek").keeps(Operation.CHAT, "m") is None


@pytest.mark.asyncio(loop_scope="session")
async def test_a_request_for_several_choices_goes_to_who_has_them() -> None:
    async with over_vendors(("a", "DeepSeek", says(ANSWER)), ("b", "None", says(ANSWER))) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO, "n": 2})
        assert got.headers["x-merit-provider"] == "b"
        assert (await merit.post({"model": "chat", "messages": HELLO})).headers["x-merit-provider"] == "a"


@contextlib.asynccontextmanager
async def over_vendors(*given: tuple[str, str, Script]) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        made = [CONSUMER]
        for place, (name, vendor, script) in enumerate(given, 1):
            url = await stack.enter_async_context(scripted(script))
            made += [provider(name, url, extra=f'vendor: "{vendor}"'), prices(name, str(place), "1")]
        yield await stack.enter_async_context(gateway(*made, route(*(name for name, *_ in given))))


@pytest.mark.asyncio(loop_scope="session")
async def test_a_stream_without_its_end_mark_is_complete_where_the_vendor_writes_none() -> None:
    body = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],'
    body += b'"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    async with over_vendors(("a", "Perplexity", streams(body[:60], body[60:]))) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert [c.choices[0].delta.content async for c in stream if c.choices] == ["Hi"]
        assert '"status":200' in merit.log_text().replace(" ", "")
    endless = body.replace(b'"stop"', b"null")
    async with over_vendors(("a", "None", streams(endless))) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            [chunk async for chunk in stream]


@pytest.mark.asyncio(loop_scope="session")
async def test_errors_of_other_shapes_are_told_in_openais() -> None:
    faults = b'{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs are not permitted"}]}'
    async with over_vendors(("a", "Mistral", says(faults, status="422 Unprocessable Entity"))) as merit:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert refused.value.type == "invalid_request_error"
    assert "body.x: Extra inputs are not permitted" in str(refused.value)


# ---- recordings


def opened(vendor: str) -> StreamedAnswer:
    return of(vendor).stream(call(stream=True, stream_options={"include_usage": True}), "m", free, 1)


@pytest.mark.parametrize(("vendor", "cassette"), WHOLE, ids=lambda v: v.name if isinstance(v, Cassette) else v)
def test_a_whole_answer(vendor: str, cassette: Cassette) -> None:
    body, usage = of(vendor).answer(cassette.body, call(), "m", 1)
    assert body == cassette.body
    ChatCompletion.model_construct(**json.loads(body))
    reported = json.loads(body).get("usage")
    check_usage(reported, usage)


def check_usage(reported: dict[str, Any] | None, usage: Usage | None) -> None:
    if not reported:
        assert usage is None
        return
    assert usage is not None
    prompt, written = reported["prompt_tokens"], reported["completion_tokens"]
    assert usage.input >= prompt
    assert usage.all_output >= written
    if "total_tokens" in reported:
        assert usage.input + usage.all_output == max(reported["total_tokens"], prompt + written)
    cached = (reported.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is None:
        cached = reported.get("prompt_cache_hit_tokens") or reported.get("num_cached_tokens") or 0
    assert usage.all_cached == min(cached, prompt)  # Grok on Azure and Magistral say more than there was


@pytest.mark.parametrize(("vendor", "cassette"), STREAMED, ids=lambda v: v.name if isinstance(v, Cassette) else v)
def test_a_stream_at_any_chunking(vendor: str, cassette: Cassette) -> None:
    outs = []
    for size in (len(cassette.body), 1, 7, 64, 1000):
        made = opened(vendor)
        out = b"".join(made.feed(cassette.body[at : at + size]) for at in range(0, len(cassette.body), size))
        outs.append(out + made.finish())
        assert made.complete
        assert not made.failed
    assert len({spoken(out) for out in outs}) == 1
    assert spoken(outs[0]) == spoken(cassette.body)
    assert outs[0].rstrip().endswith(b"data: [DONE]")
    reported = [e["usage"] for e in events(cassette.body) if e.get("usage")]
    check_usage(reported[-1] if reported else None, made.usage)


def events(data: bytes) -> list[dict[str, Any]]:
    lines = [line[5:].strip() for line in data.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.startswith("{")]


def spoken(data: bytes) -> str:
    """Text, calls and finish reasons, put together."""
    said: list[Any] = []
    for event in events(data):
        ChatCompletionChunk.model_construct(**event)
        said += [[choice.get("delta"), choice.get("finish_reason")] for choice in event.get("choices") or ()]
    return json.dumps(said)


@pytest.mark.parametrize(("vendor", "cassette"), REFUSED, ids=lambda v: v.name if isinstance(v, Cassette) else v)
def test_an_error_has_openais_shape_and_the_vendors_words(vendor: str, cassette: Cassette) -> None:
    status, body, *_ = of(vendor).error(cassette.status, cassette.body, lambda _: None)
    assert status == cassette.status
    vendors, ours = json.loads(cassette.body), json.loads(body)["error"]
    told = vendors.get("error")
    words = told["message"] if isinstance(told, dict) else told or vendors.get("message") or vendors.get("detail")
    assert ours["message"] == words or ours["message"] in json.dumps(vendors)
    assert isinstance(ours["type"], str)
    if any(part in ours["message"] for part in ("maximum context length", "too long")):
        assert ours["code"] == "context_length_exceeded"


def test_mistrals_older_word_for_cached_tokens() -> None:
    usage = usage_of(b'{"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"num_cached_tokens":64}}')
    assert usage is not None
    assert (usage.uncached_input, usage.cached_input, usage.output) == (36, 64, 5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "type", "code", "msg", "loc"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(json_values | st.binary(max_size=40), st.sampled_from([400, 401, 404, 422, 429, 500]))
def test_any_error_body_is_answered(body: Any, status: int) -> None:
    given_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = openai_error(status, given_body)
    if made != given_body:
        error = json.loads(made)["error"]
        assert isinstance(error["message"], str)
        assert isinstance(error["type"], str)
