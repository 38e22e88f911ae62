"""What a provider says of its error reaches the client, also where every candidate has failed; keys don't."""

import asyncio
import json

import openai
import pytest

from tests.support.gateway import over, says
from tests.support.resources import PROVIDER_KEY

ASKED = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "t", "code": "c"}}).encode()


@pytest.mark.parametrize(
    ("status", "retried"),
    [("401 Unauthorized", "false"), ("404 Not Found", "false"), ("403 Forbidden", "false"), ("503 Busy", None)],
)
async def test_words_of_the_last_failure_are_told_and_lasting_ones_are_not_retried(
    status: str, retried: str | None
) -> None:
    async with over(says(_error("the vendor's own words"), status=status)) as running:
        answer = await running.post(ASKED)
        assert answer.status_code == 502
        assert "the vendor's own words" in answer.json()["error"]["message"]
        assert answer.headers.get("x-should-retry") == retried


async def test_a_rate_limits_words_are_told() -> None:
    async with over(says(_error("quota of tokens per day"), status="429 Busy", extra="retry-after: 7\r\n")) as running:
        answer = await running.post(ASKED)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert "quota of tokens per day" in answer.json()["error"]["message"]


async def test_an_sdk_does_not_ask_again_what_cannot_succeed() -> None:
    asked = 0

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await says(_error("no such model"), status="404 Not Found")(_, writer)

    async with over(script) as running:
        with pytest.raises(openai.InternalServerError, match="no such model"):
            await running.client().with_options(max_retries=3).chat.completions.create(**ASKED)  # type: ignore[call-overload]
        assert asked == 1


async def test_one_candidate_that_may_recover_is_worth_another_request() -> None:
    async with over(
        says(_error("no such model"), status="404 Not Found"), says(_error("busy"), status="503 Busy")
    ) as running:
        answer = await running.post(ASKED)
        assert answer.status_code == 502
        assert "x-should-retry" not in answer.headers


@pytest.mark.parametrize("shown", [PROVIDER_KEY, PROVIDER_KEY[:6] + "*" * 20 + PROVIDER_KEY[-4:]])
async def test_no_piece_of_a_key_is_told(shown: str) -> None:
    async with over(says(_error(f"Incorrect API key provided: {shown}."), status="401 Unauthorized")) as running:
        told = (await running.post(ASKED)).text
        assert "Incorrect API key provided: ***" in told
        assert PROVIDER_KEY[-4:] not in told


async def test_a_body_that_does_not_come_holds_up_nobody() -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\n{")
        await reader.read()

    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "b"}}]}).encode()
    async with over(stalls, says(body)) as running:
        answer = await asyncio.wait_for(running.post(ASKED), 10)
        assert answer.json()["choices"][0]["message"]["content"] == "b"


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"[1]", b"\xff\xfe", b'{"error": {"message": '])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_an_error_that_is_no_json_is_one_of_the_clients_protocol(path: str, body: bytes) -> None:
    asked = {**ASKED, "max_tokens": 9, "input": "hi"}
    async with over(says(body, status="400 Bad", kind="text/html")) as running:
        answer = await running.post(asked, path=path)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"] == (body.decode(errors="replace").strip() or "The provider answered 400.")


async def test_a_byte_order_mark_before_an_answer_is_no_part_of_it() -> None:
    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "b"}}]}).encode()
    async with over(says(b"\xef\xbb\xbf" + body)) as running:
        answer = await running.post(ASKED)
        assert answer.json()["choices"][0]["message"]["content"] == "b"
