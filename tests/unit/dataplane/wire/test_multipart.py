"""Forms: read strictly, and the same bytes again but for the model's name."""

import re
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_passed.multipart import MOST_PARTS, read_form

TYPE = b"multipart/form-data; boundary=AaB03x"


def form(*parts: bytes, boundary: bytes = b"AaB03x") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


def field(name: bytes, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name, value)


def parsed(body: bytes, content_type: bytes) -> list[tuple[str | None, bytes]]:
    """As another reader has it: Python's own."""
    whole = BytesParser(EmailMessage, policy=HTTP).parsebytes(b"Content-Type: %b\r\n\r\n" % content_type + body)
    return [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))  # type: ignore[misc]
        for part in whole.iter_parts()
    ]


@given(st.binary(), st.sampled_from([TYPE, b"multipart/form-data", b"", b"multipart/form-data; boundary=", b"\xff"]))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: bytes) -> None:
    for given_body in (body, form(body), form(field(b"model", body)), form(field(body, b"x"))):
        try:
            read = read_form(given_body, content_type)
        except RequestError:
            continue
        try:
            name = read.values["model"].decode()
        except (KeyError, UnicodeDecodeError):
            continue
        assert read.with_model(name) == given_body


@given(
    st.binary(max_size=4000),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40),
    st.lists(st.tuples(st.sampled_from(["prompt", "n", "user", "mode", "models"]), st.text(max_size=50)), max_size=5),
    st.booleans(),
)
def test_what_a_client_sends_comes_out_with_another_model(
    file: bytes, name: str, fields: list[tuple[str, str]], named: bool
) -> None:
    data = dict(fields) | ({"model": "old"} if named else {})
    request = httpx.Request("POST", "http://x", data=data, files={"file": ("a.wav", file)})
    body, content_type = request.read(), request.headers["content-type"].encode()
    read = read_form(body, content_type)
    made = read.with_model(name)
    again = read_form(made, content_type)
    assert again.values["model"] == name.encode()
    assert {k: v for k, v in again.values.items() if k != "model"} == {
        k: v for k, v in read.values.items() if k != "model"
    }
    if named:
        assert again.with_model("old") == body
    else:
        assert made.endswith(body)


def test_another_reader_sees_the_same_model() -> None:
    body = form(
        field(b"prompt", b"x"),
        field(b"model", b"old"),
        b'Content-Disposition: form-data; name="f"; filename="q"\r\n\r\n\0',
    )
    made = read_form(body, TYPE).with_model("new")
    assert parsed(made, TYPE) == [("prompt", b"x"), ("model", b"new"), ("f", b"\0")]


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Disposition: form-data; name=model\r\n\r\nm",
        b'content-disposition:form-data;name="model"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nm',
        b'Content-Transfer-Encoding: 8bit\r\nContent-Disposition: form-data; name="model"\r\nA: 1\r\n\r\nm',
    ],
)
def test_clients_write_parts_in_several_ways(part: bytes) -> None:
    assert read_form(form(part), TYPE).values == {"model": b"m"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (form(field(b"model", b"a"), field(b"model", b"b")), "more than one model"),
        (form(b'Content-Disposition: form-data; name="model"; filename="x"\r\n\r\nm'), "no name"),
        (form(b'Content-Disposition: form-data; name="a"; name="model"\r\n\r\nm'), "two names"),
        (form(b"Content-Disposition: form-data; name*=utf-8''model\r\n\r\nm"), "not called"),
        (form(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\nm'), "not called|no header"),
        (form(b'Content-Disposition: form-data; name="a"\nContent-Disposition: x\r\n\r\nm'), "no header"),
        (
            form(b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64\r\n\r\nbQ=='),
            "encoded",
        ),
        (form(field(b"a", b"x\n--AaB03x\n" + field(b"model", b"m"))), "in a part"),
        (form(field(b"a", b"x")) + form(field(b"model", b"m")), "follows"),
        (b"preamble\r\n" + form(field(b"model", b"m")), "does not begin"),
        (form(field(b"model", b"m"))[:-8], "does not end"),
        (form(*[field(b"a", b"x")] * (MOST_PARTS + 1)), "parts"),
        (form(b"A: " + b"x" * 9000 + b"\r\n\r\n"), "no header"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_form(body, TYPE)
    assert re.search(why, str(refused.value))


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"multipart/form-data; boundary=a; boundary=b", b"multipart/mixed; boundary=a"],
)
def test_what_is_no_form_is_refused(content_type: bytes) -> None:
    with pytest.raises(RequestError, match="multipart/form-data"):
        read_form(form(b""), content_type)


def test_a_boundary_in_quotes() -> None:
    boundary = b"a b=c"
    read = read_form(form(field(b"model", b"m"), boundary=boundary), b'multipart/form-data; boundary="a b=c"')
    assert read.values["model"] == b"m"
