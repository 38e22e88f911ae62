"""Embeddings of the models behind Bedrock's InvokeModel: each vendor has a body of its own."""

import base64
import contextlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_bedrock.dialect import told_usage
from merit_dataplane.wire.openai_bedrock.embeddings import embeddings_body, embeddings_request
from merit_dataplane.wire.openai_request import Operation, parse
from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import gateway
from tests.support.resources import CONSUMER, prices, provider, route_of
from tests.support.vendor import Vendor, listening

RECORDED = [c for c in cassettes("bedrock", "invoke") if "embed" in c.model and c.status == 200]
TITAN, NOVA = "amazon.titan-embed-text-v2:0", "amazon.nova-2-multimodal-embeddings-v1:0"
COHERE = "us.cohere.embed-v4:0"
LISTED = {"embeddings": [[0.5, -1], [0.25, 2]], "response_type": "embeddings_floats"}


def name(cassette: Cassette) -> str:
    return cassette.name


def sent(model: str, request: dict[str, Any]) -> dict[str, Any]:
    call = parse(Operation.EMBEDDINGS, json.dumps({"model": "e"} | request).encode())
    made: dict[str, Any] = json.loads(embeddings_request(call, model))
    return made


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (TITAN, {"input": "a"}, {"inputText": "a"}),
        (TITAN, {"input": ["a"], "dimensions": 256}, {"inputText": "a", "dimensions": 256}),
        (COHERE, {"input": "a"}, {"texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]}),
        (
            COHERE,
            {"input": ["a", "b"], "dimensions": 256, "input_type": "search_query"},
            {"texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256},
        ),
        (
            NOVA,
            {"input": "a", "dimensions": 256},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "embeddingDimension": 256,
                    "text": {"truncationMode": "END", "value": "a"},
                },
            },
        ),
    ],
)
def test_requests(model: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(model, given) == expected


@pytest.mark.parametrize(
    ("model", "given", "param"),
    [
        (TITAN, {"input": ["a", "b"]}, "input"),
        (COHERE, {"input": [1, 2]}, "input"),
        ("meta.llama3", {"input": "a"}, "model"),
    ],
)
def test_what_cant_be_said_is_named(model: str, given: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        sent(model, given)
    assert refused.value.param == param


@pytest.mark.parametrize("cassette", RECORDED, ids=name)
def test_recordings(cassette: Cassette) -> None:
    given = json.loads(cassette.body)
    if "embedding" in given:
        wanted = [given["embedding"]]
    elif isinstance(given["embeddings"], dict):
        wanted = given["embeddings"]["float"]
    else:
        wanted = [item["embedding"] for item in given["embeddings"]]
    made, usage = embeddings_body(cassette.body, model=cassette.model, base64_wanted=False)
    ours = json.loads(made)
    assert [item["embedding"] for item in ours["data"]] == wanted
    body, told = told_usage(made, cassette.headers.get)
    assert told is not None
    assert told.uncached_input == int(cassette.headers["x-amzn-bedrock-input-token-count"])
    assert usage in {None, told}
    CreateEmbeddingResponse.model_validate_json(body)


def test_an_older_cohere_lists_its_vectors() -> None:
    made, usage = embeddings_body(json.dumps(LISTED).encode(), model="m", base64_wanted=True)
    raw = [base64.b64decode(item["embedding"]) for item in json.loads(made)["data"]]
    assert [list(struct.unpack("<2f", one)) for one in raw] == LISTED["embeddings"]
    assert usage is None


@pytest.mark.asyncio(loop_scope="session")
async def test_what_was_counted_in_headers_is_booked() -> None:
    vendor = Vendor(json.dumps(LISTED).encode(), headers={"x-amzn-bedrock-input-token-count": "7"})
    tiers = f'[{{name: all, candidates: [{{provider: {{name: a}}, model: "{COHERE}"}}]}}]'
    async with listening(vendor) as url:
        listed = prices("a", "2", "0", model=f'"{COHERE}"', capabilities="Embeddings")
        async with gateway(provider("a", url, protocol="Bedrock"), listed, route_of(tiers), CONSUMER) as merit:
            got = await merit.client().embeddings.create(model="chat", input=["a", "b"], encoding_format="float")
            line = json.loads(merit.log_text())
    assert vendor.heads[0].startswith(f"POST /model/{COHERE}/invoke HTTP/1.1\r\n")
    assert [item.embedding for item in got.data] == LISTED["embeddings"]
    assert got.usage.prompt_tokens == 7
    assert line["input_tokens"] == 7
    assert float(line["cost"]) == pytest.approx(14e-6)
    assert "estimated" not in line


@pytest.mark.parametrize("told", ["", "x", "-1", "9" * 40, "٣"])
def test_a_count_that_is_none(told: str) -> None:
    assert told_usage(b"{}", lambda _: told) == (b"{}", None)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["embedding", "float", "x"]), inner),
    max_leaves=10,
)


@given(st.binary(max_size=99) | TREES.map(lambda tree: json.dumps({"embeddings": tree}).encode()), st.booleans())
def test_any_body_is_translated_or_refused(body: bytes, packed: bool) -> None:
    with contextlib.suppress(ValueError):
        embeddings_body(body, model="m", base64_wanted=packed)
