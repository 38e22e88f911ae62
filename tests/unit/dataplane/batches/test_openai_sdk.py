"""Files and batches by the official SDK: a real gateway, a simulated vendor behind it."""

import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import gateway
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.batches.worlds import (
    OTHER,
    OTHER_KEY,
    a_line,
    jsonl,
    lines_of,
    priced,
    run,
    served,
    upload,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_batch_from_upload_to_output() -> None:
    async with served(OTHER) as (merit, vendor):
        client = merit.client()
        data = jsonl(a_line(1), a_line(2), a_line(3))
        file = await client.files.create(file=("näme.jsonl", data), purpose="batch")
        assert (file.filename, file.purpose, file.bytes, file.status) == ("näme.jsonl", "batch", len(data), "processed")
        assert (await client.files.retrieve(file.id)).filename == "näme.jsonl"

        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
        assert (batch.input_file_id, batch.metadata, batch.endpoint) == (file.id, {"a": "b"}, "/v1/chat/completions")
        assert batch.status == "validating"
        ended = await client.batches.retrieve(batch.id)
        assert (ended.id, ended.status, ended.metadata) == (batch.id, "completed", {"a": "b"})
        assert ended.request_counts is not None
        assert ended.request_counts.completed == 3
        assert ended.output_file_id is not None

        content = await client.files.content(ended.output_file_id)
        answers = [json.loads(line) for line in content.text.splitlines()]
        assert [answer["custom_id"] for answer in answers] == ["request-1", "request-2", "request-3"]
        output = await client.files.retrieve(ended.output_file_id)
        assert output.id == ended.output_file_id
        assert output.filename == f"{batch.id}_output.jsonl"
        sent = await client.files.content(file.id)
        assert {json.loads(line)["body"]["model"] for line in sent.text.splitlines()} == {"a-model"}
        assert vendor.stats.by_model == {"a-model": 3}

        deleted = await client.files.delete(file.id)
        assert (deleted.id, deleted.deleted) == (file.id, True)
        with pytest.raises(openai.NotFoundError) as gone:
            await client.files.retrieve(file.id)
        assert file.id[:60] in str(gone.value)
        await merit.parts.desk.watch.booked()
        told = lines_of(merit)
    assert len(told) == 3
    for line, answer in zip(told, answers, strict=True):
        usage = answer["response"]["body"]["usage"]
        assert (line["input_tokens"], line["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert Decimal(line["cost"]) == Decimal(usage["prompt_tokens"] + usage["completion_tokens"]) / 2 / 10**6
        assert (line["service_tier"], line["operation"], line["status"]) == ("batch", "chat/completions", 200)
        assert (line["consumer"], line["route"], line["provider"]) == ("default/tests", "default/chat", "default/a")
        assert (line["model"], line["rates"]["input"], "estimated" in line) == ("a-model", "0.5", False)


async def test_lists_show_a_consumers_own_page_by_page() -> None:
    async with served(OTHER, behaviour=Behaviour(batch_seconds=3600)) as (merit, _):
        mine, others = merit.client(), merit.client(OTHER_KEY)
        files, batches = list[str](), list[str]()
        for number in range(5):
            file = await upload(mine, a_line(number))
            await upload(others, a_line(number))
            files.append(file.id)
            for client in (mine, others):
                batch = await run(client, a_line(number))
            batches.append(batch.id)
        found = [file.id async for file in await mine.files.list(limit=3, purpose="batch")]
        assert set(files) < set(found)
        assert len(found) == len(set(found)) == 10
        assert [file.id async for file in await mine.files.list(order="asc")] == found[::-1]
        page = await mine.batches.list(limit=2)
        assert page.has_more
        listed = [batch async for batch in page]
        assert len({batch.id for batch in listed}) == len(listed) == 5
        theirs = [batch.id async for batch in await others.batches.list()]
        assert theirs == batches[::-1]
        assert not set(theirs) & {batch.id for batch in listed}
        with pytest.raises(openai.BadRequestError, match="limit"):
            await mine.batches.list(limit=1000)


async def test_another_consumers_ids_are_none() -> None:
    async with served(OTHER) as (merit, _):
        mine, others = merit.client(), merit.client(OTHER_KEY)
        file = await upload(mine, a_line(1))
        batch = await run(mine, a_line(1))
        ended = await mine.batches.retrieve(batch.id)
        assert ended.output_file_id is not None
        for name in (file.id, ended.output_file_id, "file-unknown", "file-" + "A" * 90):
            for call in (others.files.retrieve, others.files.content, others.files.delete):
                with pytest.raises(openai.NotFoundError) as raised:
                    await call(name)
                assert raised.value.code == "not_found"
        for call_batch in (others.batches.retrieve, others.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                await call_batch(batch.id)
        with pytest.raises(openai.NotFoundError) as refused:
            await others.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert refused.value.param == "input_file_id"
        await merit.parts.desk.watch.booked()


async def test_a_batch_is_cancelled_and_what_it_did_is_booked() -> None:
    async with served(OTHER, behaviour=Behaviour(batch_seconds=3600)) as (merit, _):
        client = merit.client()
        batch = await run(client, a_line(1), a_line(2))
        assert (await client.batches.retrieve(batch.id)).status == "in_progress"
        assert (await client.batches.cancel(batch.id)).status == "cancelling"
        assert (await client.batches.retrieve(batch.id)).status == "cancelled"
        with pytest.raises(openai.ConflictError, match="Cannot cancel"):
            await client.batches.cancel(batch.id)
        await merit.parts.desk.watch.booked()
        assert lines_of(merit) == []
        counted = 'merit_batches_total{event="cancelled",model="a-model",provider="default/a"} 1.0'
        assert counted in await merit.metrics()


@pytest.mark.parametrize(
    ("lines", "status", "param", "words"),
    [
        ([a_line(1), {**a_line(2), "method": "GET"}], 400, "method", "Line 2: method must be 'POST'"),
        ([{**a_line(1), "url": "/v1/files"}], 400, "url", "Line 1: url must be one of"),
        ([{**a_line(1), "custom_id": ""}], 400, "custom_id", "custom_id must have"),
        ([a_line(1), a_line(1)], 400, "custom_id", "Line 2: custom_id 'request-1' is there twice"),
        ([a_line(1, "nobody")], 404, "body.model", "Line 1 (custom_id 'request-1'): The model 'nobody'"),
        ([a_line(1), a_line(2, "other-chat")], 400, "body.model", "Line 2: model is 'other-chat', and 'chat' before"),
        ([a_line(1, stream=True)], 400, "body.stream", "stream must be false"),
        ([a_line(1, temperature=1), a_line(2, max_tokens="x")], 400, "body.max_tokens", "Line 2"),
        ([a_line(1, provider={"sort": "price"})], 400, "body.provider", "steering"),
        ([a_line(1, tools=[{"type": "function"}])], 400, "body.model", "lacks Tools"),
        ([], 400, "file", "has no line"),
    ],
)
async def test_a_line_that_no_provider_would_take(lines: list[Any], status: int, param: str, words: str) -> None:
    async with served(route("a", name="second", model="other-chat")) as (merit, vendor):
        with pytest.raises(openai.APIStatusError) as raised:
            await upload(merit.client(), *lines)
        assert (raised.value.status_code, raised.value.param) == (status, param)
        assert words in str(raised.value)
        with pytest.raises(openai.BadRequestError, match="Line 2: it is no JSON object"):
            await merit.client().files.create(file=("x", jsonl(a_line(1)) + b"{no}\n"), purpose="batch")
        assert vendor.vendor._storage._files == {}


async def test_uploads_that_are_none() -> None:
    async with served(OTHER) as (merit, _):
        auth = {"authorization": "Bearer merit-test-consumer-key-0001"}
        url = f"{merit.url}/v1/files"
        assert (await merit.post({}, path="/v1/files")).status_code == 415
        none = await merit.http.post(url, headers=auth, data={"purpose": "batch"}, files={"other": b"x"})
        assert (none.status_code, none.json()["error"]["code"]) == (400, "invalid_form")
        without = await merit.http.post(url, headers=auth, files={"file": ("a", jsonl(a_line(1)))})
        assert without.json()["error"]["param"] == "purpose"
        large = await merit.http.post(url, headers=auth, data={"purpose": "batch"}, files={"file": b"x" * (1 << 21)})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
        assert (await merit.http.get(url)).status_code == 401
        assert (await merit.http.put(url, headers=auth)).status_code == 404
        assert merit.parts.path.bodies.held == 0


async def test_the_cheapest_at_batch_prices_gets_all_lines_and_another_where_that_is_away() -> None:
    third = 'serviceTiers: [{name: batch, percentOff: "90"}]'
    async with (
        FakeProvider(name="a") as a,
        FakeProvider(name="b") as b,
        gateway(
            provider("a", a.url), provider("b", b.url), provider("c", "http://127.0.0.1:9/v1"),
            priced("a", "1"), priced("b", "2", third), priced("c", "0.1", third),
            route("a", "b", "c"), CONSUMER,
        ) as merit,
    ):  # fmt: skip
        raw = await merit.client().files.with_raw_response.create(file=("x", jsonl(a_line(1))), purpose="batch")
        assert raw.headers["x-merit-provider"] == "b"  # c can't be connected to
        assert Decimal(raw.headers["x-merit-expected-cost"]) > 0
        b.behaviour = Behaviour(status=500)
        with pytest.raises(openai.InternalServerError) as raised:  # it may have it: nobody else is asked
            await upload(merit.client(), a_line(1))
        assert raised.value.status_code == 502
        b.behaviour = Behaviour(status=429, retry_after="7")
        other = await merit.client().files.with_raw_response.create(file=("x", jsonl(a_line(1))), purpose="batch")
        assert other.headers["x-merit-provider"] == "a"
        assert len(a.vendor._storage._files) == 1


async def test_a_batch_whose_answer_was_lost_is_found_and_never_asked_for_twice() -> None:
    async with served(OTHER, behaviour=Behaviour(batch_seconds=3600)) as (merit, vendor):
        client = merit.client()
        file = await upload(client, a_line(1))
        vendor.behaviour = Behaviour(batch_seconds=3600, fault="lost_answer", times=1)
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert [found.id async for found in await client.batches.list()] == [batch.id]
        vendor.behaviour = Behaviour(batch_seconds=3600, fault="lost_answer", times=1)
        with pytest.raises(openai.InternalServerError):  # nothing says whether a file was kept
            await upload(client, a_line(1))


async def test_files_of_other_purposes_go_where_their_model_is() -> None:
    async with (
        FakeProvider(name="a") as a,
        FakeProvider(name="b") as b,
        gateway(
            provider("a", a.url), provider("b", b.url), priced("a", "1"), priced("b", "2"),
            route("a"), route("b", name="r", model="reader"), CONSUMER,
        ) as merit,
    ):  # fmt: skip
        client, data = merit.client(), bytes(range(256)) * 50
        with pytest.raises(openai.BadRequestError, match="Several providers") as raised:
            await client.files.create(file=("a.bin", data), purpose="user_data")
        assert raised.value.code == "ambiguous_provider"
        file = await client.files.create(
            file=("a.bin", data), purpose="user_data", extra_body={"model": "reader"},
            expires_after={"anchor": "created_at", "seconds": 3600},
        )  # fmt: skip
        assert (file.filename, file.purpose) == ("a.bin", "user_data")
        assert len(b.vendor._storage._files) == 1
        assert (await client.files.content(file.id)).content == data
        with pytest.raises(openai.BadRequestError, match="purpose 'batch'"):
            await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


async def test_what_becomes_of_ids_when_resources_change() -> None:
    async with FakeProvider() as vendor, gateway() as merit:
        documents = [provider("a", vendor.url), priced("a", "1"), route("a"), CONSUMER]
        await merit.apply(*documents)
        client = merit.client()
        file = await upload(client, a_line(1))
        await merit.apply(provider("a", vendor.url), priced("a", "9"), *documents[2:])
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        with pytest.raises(openai.BadRequestError, match=r"endpoint: must be that of the file's lines"):
            await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        await merit.apply(*documents[:2], prices("b", "1", "1"), provider("b", vendor.url), route("b"), CONSUMER)
        with pytest.raises(openai.BadRequestError, match="Upload the file again") as outdated:
            await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert outdated.value.code == "file_outdated"
        assert (await client.batches.retrieve(batch.id)).id == batch.id
        await merit.parts.desk.watch.booked()
        await merit.apply(prices("b", "1", "1"), provider("b", vendor.url), route("b"), CONSUMER)
        with pytest.raises(openai.NotFoundError, match="not configured here, or not any more"):
            await client.files.retrieve(file.id)


async def test_embeddings_and_a_line_that_fails() -> None:
    async with served(OTHER) as (merit, vendor):
        client = merit.client()
        lines = [
            {"custom_id": str(n), "method": "POST", "url": "/v1/embeddings", "body": {"model": "chat", "input": "a b"}}
            for n in range(2)
        ]
        file = await upload(client, *lines)
        batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        ended = await client.batches.retrieve(batch.id)
        assert ended.status == "completed"
        await merit.parts.desk.watch.booked()
        assert [line["operation"] for line in lines_of(merit)] == ["embeddings"] * 2
        vendor.vendor._models = ("another",)
        failed = await client.batches.retrieve((await run(client, a_line(1))).id)
        assert failed.error_file_id is not None
        assert "does not exist" in (await client.files.content(failed.error_file_id)).text


async def test_a_download_that_breaks_off_is_no_file() -> None:
    async with served(OTHER) as (merit, vendor):
        client = merit.client()
        file = await upload(client, a_line(1))
        vendor.behaviour = Behaviour(fault="reset")
        with pytest.raises(openai.InternalServerError):
            await client.files.content(file.id)
