"""Moderations, images and audio: the official SDK's requests, a vendor that answers as OpenAI's document says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from merit_dataplane.wire.dialects import DIALECTS
from merit_dataplane.wire.openai_passed.request import TABLE
from tests.support.gateway import Running, Script, gateway, says, streams
from tests.support.resources import CONSUMER, prices, provider, route
from tests.support.scripted_vendor import Vendor, vendor

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),  # the SDK's words about endpoints of its own
]

ALL = "Moderation, ImageGeneration, ImageEdits, ImageVariations, Speech, Transcription, Translation"
RATES = ', imageInput: "10", imageOutput: "40", audioInput: "6", audioOutput: "12"'
AUTH = {"authorization": "Bearer merit-test-consumer-key-0001"}
FLAGGED = b'{"id": "modr-1",  "model": "omni-moderation-2024-09-26", "results": [{"flagged": true, "categories": {}}]}'
PICTURE = b'{"created": 1, "data": [{"b64_json": "aGk="}], "usage": %b}'
OF_PICTURE = {
    "total_tokens": 1100,
    "input_tokens": 100,
    "output_tokens": 1000,
    "input_tokens_details": {"text_tokens": 60, "image_tokens": 40},
}
HEARD = {
    "type": "tokens",
    "input_tokens": 140,
    "output_tokens": 20,
    "total_tokens": 160,
    "input_token_details": {"text_tokens": 40, "audio_tokens": 100},
}
SOUND = bytes(range(256)) * 300


@contextlib.asynccontextmanager
async def over(
    *scripts: Script, model: str = "m", rates: str = RATES, capabilities: str = ALL, extra: str = ""
) -> AsyncIterator[tuple[Running, Vendor]]:
    async with (
        vendor(*scripts) as asked,
        gateway(
            provider("a", asked.url),
            prices("a", "1", "2", capabilities=capabilities, more_prices=rates),
            route("a", model=model, extra=extra),
            CONSUMER,
        ) as merit,
    ):
        yield merit, asked


def line(merit: Running) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(merit.log_text().splitlines()[-1])
    return read


async def test_a_moderation_asks_for_openais_default_and_passes_byte_for_byte() -> None:
    async with over(says(FLAGGED), model="omni-moderation-latest") as (merit, asked):
        answer = await merit.post({"input": "I will", "provider": {"sort": "price"}}, path="/v1/moderations")
        parsed = await merit.client().moderations.create(input="I will")
        last = line(merit)
    assert answer.content == FLAGGED
    assert parsed.results[0].flagged
    assert asked.asked[0].path == "/v1/moderations"
    assert asked.asked[0].body == {"input": "I will", "model": "a-model"}
    assert (last["operation"], last["features"], last.get("estimated", False)) == ("moderations", ["Moderation"], True)
    assert Decimal(last["cost"]) > 0


async def test_a_picture_costs_what_its_usage_says_by_class() -> None:
    body = PICTURE % json.dumps(OF_PICTURE).encode()
    async with over(says(body)) as (merit, _):
        raw = await merit.client().images.with_raw_response.generate(model="m", prompt="a cat", n=2)
        last = line(merit)
    assert raw.content == body
    cost = (Decimal(60) + 40 * Decimal(10) + 1000 * Decimal(40)) / 1_000_000
    assert Decimal(raw.headers["x-merit-cost"]) == cost == Decimal(last["cost"])
    assert not last.get("estimated", False)


async def test_a_picture_without_usage_costs_its_request_price_and_is_marked() -> None:
    async with over(says(b'{"created": 1, "data": [{"url": "https://x/y.png"}]}'), model="dall-e-2",
                    rates=', request: "0.04"') as (merit, _):  # fmt: skip
        raw = await merit.client().images.with_raw_response.generate(prompt="a cat")
        last = line(merit)
    assert Decimal(raw.headers["x-merit-cost"]) >= Decimal("0.04")
    assert last.get("estimated", False)


async def test_of_a_form_only_the_models_name_changes() -> None:
    edited = PICTURE % json.dumps(OF_PICTURE).encode()
    async with over(says(edited)) as (merit, asked):
        await merit.client().images.edit(model="m", prompt="blue", image=("a.png", SOUND), user="model")
        sent = asked.asked[0]
        request = merit.http.build_request(
            "POST", f"{merit.url}/v1/images/edits", headers=AUTH,
            data={"model": "m", "prompt": "née\r\nm"}, files=[("image[]", ("m.png", SOUND)), ("image[]", ("b", b""))],
        )  # fmt: skip
        given = await request.aread()
        await merit.http.send(request)
    assert b'name="model"\r\n\r\na-model\r\n' in sent.raw
    assert SOUND in sent.raw
    again = asked.asked[1]
    assert again.headers["content-type"] == request.headers["content-type"]
    assert again.raw == given.replace(b'name="model"\r\n\r\nm\r\n', b'name="model"\r\n\r\na-model\r\n', 1)


async def test_a_form_without_a_model_gets_one() -> None:
    async with over(says(PICTURE % b"null"), model="dall-e-2") as (merit, asked):
        await merit.client().images.create_variation(image=("a.png", SOUND))
    assert b'name="model"\r\n\r\na-model\r\n' in asked.asked[0].raw
    assert asked.asked[0].path == "/v1/images/variations"


async def test_a_transcription_in_any_format() -> None:
    told = json.dumps({"text": "hello", "usage": HEARD}).encode()
    subtitles = b"1\n00:00:00,000 --> 00:00:02,000\nhello\n"
    whisper = b'{"text": "hello", "usage": {"type": "duration", "seconds": 30}}'
    async with over(says(told), says(subtitles, kind="text/plain; charset=utf-8"), says(whisper)) as (merit, _):
        client = merit.client()
        raw = await client.audio.transcriptions.with_raw_response.create(model="m", file=("a.wav", SOUND))
        assert not line(merit).get("estimated", False)
        assert raw.content == told
        cost = (Decimal(40) + 100 * Decimal(6) + 20 * Decimal(2)) / 1_000_000
        assert Decimal(raw.headers["x-merit-cost"]) == cost
        text = await client.audio.transcriptions.with_raw_response.create(
            model="m", file=("a.wav", SOUND), response_format="srt"
        )
        assert text.content == subtitles
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        seconds = await client.audio.translations.with_raw_response.create(model="m", file=("a.wav", SOUND))
        assert seconds.content == whisper
        assert line(merit).get("estimated", False)
        assert line(merit)["input_tokens"] == 300


async def test_a_transcription_streams_its_events() -> None:
    events = [
        b'data: {"type":"transcript.text.delta","delta":"hel"}\n\n',
        b'data: {"type":"transcript.text.done","text":"hello","usage":%b}\n\n' % json.dumps(HEARD).encode(),
    ]
    async with over(streams(*events)) as (merit, asked):
        stream = await merit.client().audio.transcriptions.create(model="m", file=("a.wav", SOUND), stream=True)
        types = [event.type async for event in stream]
        last = line(merit)
    assert types == ["transcript.text.delta", "transcript.text.done"]
    assert (last["input_tokens"], last["output_tokens"], last.get("estimated", False)) == (140, 20, False)
    assert asked.asked[0].headers["content-type"].startswith("multipart/form-data")


async def test_a_stream_of_pictures_that_breaks_off_says_so() -> None:
    partial = b'data: {"type":"image_generation.partial_image","b64_json":"aGk=","partial_image_index":0}\n\n'
    async with over(streams(partial)) as (merit, _):
        stream = await merit.client().images.generate(model="m", prompt="x", stream=True, partial_images=1)
        with pytest.raises(openai.APIError, match="broke off"):
            [event async for event in stream]
        last = line(merit)
    assert (last["error"], last.get("estimated", False)) == ("stream_truncated", True)


def sound(*pieces: bytes, ends: bool = True) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if ends:
            writer.write(b"0\r\n\r\n")
        else:
            writer.close()

    return script


async def test_speech_comes_as_the_bytes_that_it_is() -> None:
    async with over(sound(SOUND, b"\n\ndata: [DONE]\n\n", SOUND)) as (merit, asked):
        async with merit.client().audio.speech.with_streaming_response.create(
            model="m", voice="alloy", input="word " * 40
        ) as answer:
            heard = b"".join([piece async for piece in answer.iter_bytes()])
            kind = answer.headers["content-type"]
        last = line(merit)
    assert heard == SOUND + b"\n\ndata: [DONE]\n\n" + SOUND
    assert kind == "audio/mpeg"
    assert asked.asked[0].body["model"] == "a-model"
    assert "event-stream" not in asked.asked[0].headers["accept"]
    assert last.get("estimated", False)
    assert last["output_tokens"] == 6 * last["expected_input_tokens"]


async def test_speech_that_breaks_off_ends_without_an_end() -> None:
    async with over(sound(SOUND, ends=False)) as (merit, _):
        with pytest.raises(httpx.RemoteProtocolError):
            await merit.post({"model": "m", "input": "hi", "voice": "alloy"}, path="/v1/audio/speech")
        assert line(merit)["status"] == 502


async def test_speech_as_events_tells_its_usage() -> None:
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    events = b'data: {"type":"speech.audio.done","usage":%b}\n\n' % json.dumps(usage).encode()
    async with over(streams(events)) as (merit, _):
        body = {"model": "m", "input": "hi", "voice": "alloy", "stream_format": "sse"}
        answer = await merit.post(body, path="/v1/audio/speech")
        last = line(merit)
    assert answer.content == events
    assert Decimal(last["cost"]) == (14 + 101 * Decimal(12)) / 1_000_000


async def test_another_provider_takes_over_with_the_whole_form() -> None:
    told = json.dumps({"text": "hello", "usage": HEARD}).encode()
    async with (
        vendor(says(b"{}", status="503 Service Unavailable")) as broken,
        vendor(says(told)) as well,
        gateway(
            provider("a", broken.url),
            provider("b", well.url),
            prices("a", "1", "1", capabilities=ALL),
            prices("b", "2", "2", capabilities=ALL),
            route("a", "b", model="m"),
            CONSUMER,
        ) as merit,
    ):
        heard = await merit.client().audio.transcriptions.create(model="m", file=("a.wav", SOUND))
    assert heard.text == "hello"
    assert b"a-model" in broken.asked[0].raw
    assert b"b-model" in well.asked[0].raw


async def test_a_protocol_without_an_endpoint_has_no_capability_for_it() -> None:
    for protocol, dialect in DIALECTS.items():
        for operation, row in TABLE.items():
            assert (operation in dialect.paths) == bool(dialect.can_say & row.feature), (protocol, operation)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_provider_is_told_by_a_header_that_events_are_wanted(stream: bool) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with over(streams(event), capabilities="Streaming") as (merit, asked):
        await merit.post({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream})
    assert asked.asked[0].headers.get("accept") == ("text/event-stream" if stream else None)


async def test_who_lacks_the_endpoint_is_not_asked() -> None:
    async with over(says(FLAGGED), capabilities="Speech") as (merit, asked):
        refused = await merit.post({"model": "m", "input": "x"}, path="/v1/moderations")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_capable_model")
    assert "Moderation" in refused.json()["error"]["message"]
    assert not asked.asked


async def test_nothing_of_it_is_kept_by_a_route_with_a_cache() -> None:
    async with over(says(FLAGGED), extra="cache: {exact: {ttl: 60s}}") as (merit, asked):
        for _ in range(2):
            answer = await merit.post({"model": "m", "input": "x"}, path="/v1/moderations")
    assert answer.content == FLAGGED
    assert answer.headers["x-merit-cache"] == "bypass"
    assert len(asked.asked) == 2


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/moderations", {"model": "m"}, "input"),
        ("/v1/images/generations", {"model": "m"}, "prompt"),
        ("/v1/images/edits", {"model": "m", "prompt": "x"}, "image"),
        ("/v1/audio/speech", {"input": "x", "voice": "y"}, "model"),
        ("/v1/audio/transcriptions", {"model": "m"}, None),
    ],
)
async def test_what_is_missing_is_named(path: str, body: dict[str, str], param: str | None) -> None:
    async with over(says(FLAGGED)) as (merit, asked):
        refused = await merit.post(body, path=path)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert not asked.asked


async def test_a_vendors_refusal_is_handed_on() -> None:
    words = b'{"error": {"message": "Unsupported file format", "type": "invalid_request_error"}}'
    async with over(says(words, status="400 Bad Request")) as (merit, _):
        with pytest.raises(openai.BadRequestError, match="Unsupported file format"):
            await merit.client().audio.transcriptions.create(model="m", file=("a.xyz", b"?"))
