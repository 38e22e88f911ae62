"""A `multipart/form-data` body (RFC 7578): its short fields, and the same bytes with another model's name.

Strict, since the provider reads the body again, with a reader of its own: what two readers could understand in two
ways, such as a second `model`, is refused. So nobody asks for a model that Merit has not seen.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from merit_dataplane.wire.errors import RequestError

MOST_PARTS: Final = 256
MOST_HEADER_BYTES: Final = 8 * 1024
MOST_FIELD_BYTES: Final = 64 * 1024
"""A longer field is none that Merit reads."""
_BOUNDARY = re.compile(
    rb'\s*multipart/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))\s*(?:;.*)?', re.IGNORECASE
)
_BCHARS = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = rb';[ \t]*(name|filename\*?)=(?:"((?:[^"\\]|\\["\\])*)"|([^\s;"\\]+))'
_ONE = re.compile(_PARAMETER, re.IGNORECASE)
_DISPOSITION = re.compile(rb"content-disposition:[ \t]*form-data((?:%b){1,3})[ \t]*" % _PARAMETER, re.IGNORECASE)
_PLAIN = re.compile(rb"content-transfer-encoding:[ \t]*(?:7bit|8bit|binary)[ \t]*", re.IGNORECASE)


class Form(msgspec.Struct, frozen=True):
    """What was read of a body, and the body."""

    body: bytes
    values: Mapping[str, bytes]
    """Of the fields that are no files, by name; of one that is there several times, the last."""
    counts: Mapping[str, int]
    """How often a name is there, files included."""
    files: int
    model: tuple[int, int]
    """Where in the body the model's name stands; twice the same where there is none."""
    delimiter: bytes

    def with_model(self, name: str) -> bytes:
        """The same bytes but for the value of the part `model`; one that wasn't there is the first."""
        start, end = self.model
        value = name.encode()
        if not end:
            value = b'%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % (self.delimiter, value)
        return b"".join((self.body[:start], value, self.body[end:]))


def read_form(body: bytes, content_type: bytes) -> Form:
    """Raises RequestError (400) that says what is wrong with the body."""
    boundary = boundary_of(content_type)
    delimiter = b"--" + boundary
    if not body.startswith(delimiter):
        raise bad_form("it does not begin with its boundary")
    values: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    parts, files, model, at = 0, 0, (0, 0), len(delimiter)
    while not _ends(body, at):
        if body[at : at + 2] != b"\r\n":
            raise bad_form("its boundary is not alone in its line")
        head_end = body.find(b"\r\n\r\n", at, at + MOST_HEADER_BYTES)
        if head_end < 0:
            raise bad_form(f"a part has no header of at most {MOST_HEADER_BYTES} bytes")
        name, filename = part_of(body[at + 2 : head_end])
        is_file = filename is not None
        start = head_end + 4
        end = body.find(b"\r\n" + delimiter, start)
        if end < 0:
            raise bad_form("it does not end with its boundary")
        parts += 1
        if parts > MOST_PARTS:
            raise bad_form(f"it has more than {MOST_PARTS} parts")
        counts[name] = counts.get(name, 0) + 1
        if is_file:
            files += 1
        elif end - start <= MOST_FIELD_BYTES:
            values[name] = body[start:end]
        if name == "model":
            if is_file or counts[name] > 1 or name not in values:
                raise bad_form("it has more than one model, or one that is no name", param="model")
            model = (start, end)
        at = end + 2 + len(delimiter)
    if body.count(delimiter) != parts + 1:
        raise bad_form("its boundary is in a part of it")  # which another reader might take for the part's end
    return Form(body, values, counts, files, model, delimiter)


def _ends(body: bytes, at: int) -> bool:
    """Whether the boundary there is the last one, and nothing follows it."""
    if body[at : at + 2] != b"--":
        return False
    if body[at + 2 :] not in (b"", b"\r\n"):
        raise bad_form("something follows its last boundary")
    return True


def boundary_of(content_type: bytes) -> bytes:
    """What stands between the parts. Raises RequestError (400)."""
    found = _BOUNDARY.fullmatch(content_type)
    boundary = (found[1] or found[2]) if found is not None else None
    if boundary is None or not _BCHARS.fullmatch(boundary) or content_type.lower().count(b"boundary") > 1:
        raise RequestError(400, "Send this as 'Content-Type: multipart/form-data; boundary=…'.", code="invalid_form")
    return boundary


def part_of(headers: bytes) -> tuple[str, bytes | None]:
    """A part's name, and that of the file that it is. Raises RequestError (400)."""
    given: dict[bytes, bytes] = {}
    for line in headers.split(b"\r\n"):
        if b"\n" in line or b"\r" in line or line[:1] in (b" ", b"\t") or b":" not in line:
            raise bad_form("a part has a line that is no header")
        if line.lower().startswith(b"content-disposition"):
            found = None if given else _DISPOSITION.fullmatch(line)
            if found is None:
                raise bad_form("a part is not called 'form-data; name=\"…\"', once")
            pairs = [(one[1].lower(), one[2] if one[3] is None else one[3]) for one in _ONE.finditer(found[1])]
            given = dict(pairs)
            if len(given) < len(pairs):
                raise bad_form("a part has two names")
        elif line.lower().startswith(b"content-transfer-encoding") and not _PLAIN.fullmatch(line):
            raise bad_form("a part is encoded; send its bytes as they are")
    if b"name" not in given:
        raise bad_form("a part has no name")
    try:
        name = given[b"name"].decode()
    except UnicodeDecodeError:
        raise bad_form("the name of a part is no UTF-8") from None
    return name, given.get(b"filename", b"") if len(given) > 1 else None


def bad_form(why: str, *, param: str | None = None) -> RequestError:
    """400, and what is wrong."""
    return RequestError(400, f"The form can't be read: {why}.", code="invalid_form", param=param)
