"""Uploads in pieces of any size: what comes out is what went in, or a refusal."""

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.batches.form import UploadForm
from merit_dataplane.batches.jsonl import lines_of
from merit_dataplane.batches.output import line_of
from merit_dataplane.wire.errors import RequestError

CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=200)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Pieces of these sizes, in turn."""
    at = place = 0
    while at < len(data):
        size = sizes[place % len(sizes)]
        yield data[at : at + size]
        at, place = at + size, place + 1


def read(body: bytes, kind: bytes, sizes: list[int]) -> UploadForm:
    form = UploadForm(kind)
    for piece in cut(body, sizes):
        form.feed(piece)
    form.finish()
    return form


@given(
    content=st.binary(max_size=400) | st.lists(st.sampled_from([b"\r\n", b"--", b"\r", b"x"])).map(b"".join),
    name=st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=20),
    purpose=st.text(max_size=20),
    sizes=CUTS,
)
def test_what_httpx_sends_is_read(content: bytes, name: str, purpose: str, sizes: list[int]) -> None:
    sent = httpx.Request("POST", "http://x", data={"purpose": purpose}, files={"file": (name, content)})
    form = read(sent.read(), sent.headers["content-type"].encode(), sizes)
    assert b"".join(form.pieces) == content
    assert form.fields == {"purpose": purpose.encode()}
    assert form.filename is not None


@given(data=st.binary(max_size=600), sizes=CUTS)
def test_any_bytes_are_read_or_refused_and_however_they_come(data: bytes, sizes: list[int]) -> None:
    def outcome(sizes: list[int]) -> object:
        try:
            form = read(b"--b\r\n" + data, b"multipart/form-data; boundary=b", sizes)
        except RequestError as refusal:
            return refusal.status
        return form.fields, form.filename, b"".join(form.pieces)

    assert outcome(sizes) == outcome([10_000])


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PART % b"1", "does not end"),
        (PART % b"1" + PART % b"2" + b"--b--", "more than one file"),
        (PART.replace(b"file", b"image", 1) % b"1" + b"--b--", "not called 'file'"),
        (PART % b"1" + b"--b--\r\nmore", "follows its last boundary"),
        (b"xxxxxxxx", "does not begin"),
        (b"--b\r\nno header\r\n\r\n1\r\n--b--", "no header"),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--", "too long"),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 2 + b"--b--", "there twice"),
    ],
)
def test_what_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read(body, b"multipart/form-data; boundary=b", [7])


def test_bytes_that_come_one_by_one_take_no_more_room_than_others() -> None:
    form = read(PART % (b"x" * 70_000) + b"--b--\r\n", b"multipart/form-data; boundary=b", [1])
    assert len(form.pieces) == 2


@given(lines=st.lists(st.binary(max_size=30)), sizes=CUTS, end=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans())
def test_lines_are_the_same_however_they_come(lines: list[bytes], sizes: list[int], end: bytes, last: bool) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    body = b"\xef\xbb\xbf" + end.join(lines) + (end if last else b"")
    told = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    assert list(lines_of(cut(body, sizes))) == told


@given(text=st.binary(max_size=200) | st.text().map(lambda text: f'{{"response": {text}}}'.encode()))
def test_any_line_of_an_output_is_read(text: bytes) -> None:
    for operation in ("chat/completions", "responses"):
        assert line_of(text, operation).status >= 0
