"""What reaches a vendor, byte for byte, and what vendors may answer."""

import json
from typing import Any

import openai
import pytest

from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import gateway, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route
from tests.support.scripted_vendor import vendor
from tests.unit.dataplane.batches.worlds import CAPABILITIES, HALF, a_line, documents, jsonl, lines_of, priced, upload

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEPT = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}
AUTH = {"authorization": f"Bearer {CONSUMER_KEY}"}


def says_json(document: Any, **more: Any) -> Any:
    return says(json.dumps(document).encode(), **more)


async def test_what_a_vendor_gets_of_an_upload() -> None:
    async with vendor(says_json(KEPT)) as asked, gateway(*documents(asked.url)) as merit:
        lines = [a_line(1, temperature=0.5, usage={"include": True}), {**a_line(2), "more": 1}]
        await merit.client().files.create(
            file=("my file.jsonl", jsonl(*lines)), purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )  # fmt: skip
        sent = asked.asked[0]
    assert sent.path == "/v1/files"
    assert sent.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    boundary = sent.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    *fields, file = sent.raw.split(f"--{boundary}".encode())[1:-1]
    assert [field.split(b'"')[1] for field in fields] == [
        b"purpose",
        b"expires_after[anchor]",
        b"expires_after[seconds]",
    ]
    head, _, body = file.partition(b"\r\n\r\n")
    assert b'filename="merit.' in head
    assert head.count(b"my file.jsonl") == 1
    assert [json.loads(line) for line in body.strip().splitlines()] == [
        {**a_line(1, "a-model"), "body": {**a_line(1, "a-model")["body"], "temperature": 0.5}},
        a_line(2, "a-model"),
    ]
    assert CONSUMER_KEY.encode() not in sent.raw


async def test_azure_has_other_paths_and_urls() -> None:
    async with (
        FakeProvider(api_keys=frozenset({PROVIDER_KEY})) as azure,
        gateway(
            provider("a", azure.url.removesuffix("/v1"), protocol="AzureOpenAI"), priced("a", "1"), route("a"), CONSUMER
        ) as merit,
    ):
        client = merit.client()
        file = await upload(client, a_line(1))
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert batch.endpoint == "/v1/chat/completions"
        ended = await client.batches.retrieve(batch.id)
        assert (ended.status, ended.endpoint) == ("completed", "/v1/chat/completions")
        assert [found.id async for found in await client.batches.list()] == [batch.id]
        kept = (await client.files.content(file.id)).text
        assert json.loads(kept)["url"] == "/chat/completions"
        await merit.parts.desk.watch.booked()
        assert len(lines_of(merit)) == 1


async def test_a_protocol_without_batches_is_named() -> None:
    async with gateway(
        provider("a", "http://127.0.0.1:9/v1", protocol="Anthropic"), priced("a", "1"), route("a"), CONSUMER
    ) as merit:
        with pytest.raises(openai.BadRequestError, match="lacks Batches") as raised:
            await upload(merit.client(), a_line(1))
        assert raised.value.code == "no_capable_model"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (says(b"not json"), 502, "no JSON object"),
        (says(b"[]"), 502, "no JSON object"),
        (says_json({"error": {"message": "No. " + PROVIDER_KEY}}, status="422 Unprocessable"), 422, r"No\. \*\*\*"),
        (says(b"nonsense", status="400 Bad Request"), 400, "400"),
        (says(b"", status="401 Unauthorized"), 502, "refused our credential"),
        (says(b"", status="503 Unavailable"), 502, "answered 503"),
        (says(b"", status="302 Found", extra="location: http://127.0.0.1:1/\r\n"), 502, "answered 302"),
        (says(b"", status="404 Not Found"), 502, "has no files"),
        (says(b"", status="429 Too Many", extra="retry-after: 3\r\n"), 429, "rate limit"),
        (streams(b"{", ends=True), 502, "no JSON object"),
    ],
    ids=["words", "list", "mistake", "nonsense", "credential", "away", "elsewhere", "no files", "limited", "cut"],
)
async def test_what_vendors_may_answer(answer: Any, status: int, words: str) -> None:
    async with vendor(answer) as asked, gateway(*documents(asked.url)) as merit:
        with pytest.raises(openai.APIStatusError, match=words) as raised:
            await upload(merit.client(), a_line(1))
        assert raised.value.status_code == status
        assert PROVIDER_KEY not in raised.value.response.text
        assert merit.parts.path.bodies.held == 0


@pytest.mark.parametrize(
    "listed", [{"data": None}, {"data": 7}, {"data": [1, {"id": 7, "metadata": 3, "filename": 4}]}, {}]
)
async def test_lists_that_are_none(listed: Any) -> None:
    async with vendor(says_json(listed)) as asked, gateway(*documents(asked.url)) as merit:
        for path in ("/v1/files", "/v1/batches"):
            answer = await merit.http.get(merit.url + path, headers=AUTH)
            assert (answer.status_code, answer.json()["data"]) == (200, [])


async def test_a_vendor_that_pages_for_ever_is_left() -> None:
    page = {"data": [{"id": "file-1", "filename": "x"}], "has_more": True}
    async with vendor(says_json(page)) as asked, gateway(*documents(asked.url)) as merit:
        assert (await merit.http.get(f"{merit.url}/v1/files", headers=AUTH)).json()["data"] == []
        assert len(asked.asked) == 2


async def test_a_download_that_breaks_off_ends_the_connection() -> None:
    whole = says(b"x" * 1000)

    async def half(reader: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with vendor(says_json(KEPT), half, whole) as asked, gateway(*documents(asked.url)) as merit:
        client = merit.client()
        file = await upload(client, a_line(1))
        with pytest.raises(openai.APIConnectionError):
            await client.files.content(file.id)
        assert (await client.files.content(file.id)).content == b"x" * 1000


async def test_a_file_for_a_candidate_of_all_tiers() -> None:
    tiers = (
        "[{name: long, when: [{inputTokens: {atLeast: 100}}], candidates: [CA, CB]}, {name: short, candidates: [CB]}]"
    )
    tiers = tiers.replace("CA", "{provider: {name: a}, model: a-model}")
    tiers = tiers.replace("CB", "{provider: {name: b}, model: b-model}")
    async with FakeProvider() as one, FakeProvider() as other, gateway(
        provider("a", one.url), provider("b", other.url), priced("a", "1"), priced("b", "2"),
        route("a").replace("[{name: all, candidates: [{provider: {name: a}, model: a-model}]}]", tiers), CONSUMER,
    ) as merit:  # fmt: skip
        client = merit.client()
        long = a_line(1)
        long["body"]["messages"][0]["content"] = "x" * 1000
        await upload(client, long)
        assert len(one.vendor._storage._files) == 1
        await upload(client, long, a_line(2))
        assert len(other.vendor._storage._files) == 1


async def test_a_route_whose_candidates_have_no_batch_price_is_refused() -> None:
    plain = prices("a", "1", "1", capabilities=CAPABILITIES.replace(", Batches, Files", ""), extra=HALF)
    async with gateway(provider("a", "http://127.0.0.1:9/v1"), plain, route("a"), CONSUMER) as merit:
        with pytest.raises(openai.BadRequestError, match="lacks Batches"):
            await upload(merit.client(), a_line(1))
