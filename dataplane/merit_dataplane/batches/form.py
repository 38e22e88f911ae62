"""The form of an upload, read as it arrives: one file and some short fields.

What is kept is the file's own bytes, once. The provider never sees this form: it gets one that Merit writes, so no
bytes are read twice in two ways.
"""

from typing import Final

from merit_dataplane.wire.openai_passed.multipart import (
    MOST_FIELD_BYTES,
    MOST_HEADER_BYTES,
    MOST_PARTS,
    bad_form,
    boundary_of,
    part_of,
)

FILE: Final = "file"
_BLOCK_BYTES = 64 * 1024


class UploadForm:
    """`feed` what comes, then `finish`. Both raise RequestError (400) that says what is wrong."""

    def __init__(self, content_type: bytes):
        self._delimiter = b"\r\n--" + boundary_of(content_type)
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
        self._step = self._between
        self._name = ""
        self._is_file = self._ended = False
        self._parts = 0
        self._block = bytearray()
        self.fields: dict[str, bytes] = {}
        self.filename: bytes | None = None
        self.pieces: list[bytes] = []
        """The file."""

    def feed(self, data: bytes) -> None:
        """What has come."""
        self._buffer += data
        while self._step():
            pass

    def finish(self) -> None:
        """Nothing more will come."""
        self._seal()
        if not self._ended:
            raise bad_form("it does not end with its boundary")
        if bytes(self._buffer) not in (b"", b"\r\n"):
            raise bad_form("something follows its last boundary")

    def _seal(self) -> None:
        self.pieces.append(bytes(self._block))
        self._block.clear()

    # ---- steps: each takes something off the buffer, or says that it needs more

    def _between(self) -> bool:
        """At a boundary; what it is followed by says whether a part begins."""
        delimiter, buffer = self._delimiter, self._buffer
        if len(buffer) < len(delimiter) + 2:
            return False
        if not buffer.startswith(delimiter):
            raise bad_form("it does not begin with its boundary")
        after = bytes(buffer[len(delimiter) : len(delimiter) + 2])
        del buffer[: len(delimiter) + 2]
        if after == b"--":
            self._ended, self._step = True, self._over
            return False
        if after != b"\r\n":
            raise bad_form("its boundary is not alone in its line")
        self._step = self._head
        return True

    def _head(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", 0, MOST_HEADER_BYTES)
        if end < 0:
            if len(buffer) >= MOST_HEADER_BYTES:
                raise bad_form(f"a part has no header of at most {MOST_HEADER_BYTES} bytes")
            return False
        self._name, filename = part_of(bytes(buffer[:end]))
        self._is_file = filename is not None
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise bad_form(f"it has more than {MOST_PARTS} parts")
        if self._is_file and (self._name != FILE or self.filename is not None):
            raise bad_form("it has more than one file, or one that is not called 'file'", param=FILE)
        if self._name in self.fields or (self._name == FILE and not self._is_file):
            raise bad_form(f"its part {self._name[:64]!r} is there twice, or is no file", param=self._name[:64])
        if self._is_file:
            self.filename = filename
        else:
            self.fields[self._name] = b""
        del buffer[: end + 4]
        self._step = self._content
        return True

    def _content(self) -> bool:
        buffer = self._buffer
        found = buffer.find(self._delimiter)
        end = found if found >= 0 else max(0, len(buffer) - len(self._delimiter))
        self._take(bytes(buffer[:end]))
        del buffer[:end]
        if found < 0:
            return False
        self._step = self._between
        return True

    def _over(self) -> bool:
        if len(self._buffer) > 2:
            raise bad_form("something follows its last boundary")
        return False

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._is_file:
            self._block += data
            if len(self._block) >= _BLOCK_BYTES:  # bytes that come one by one would take many times their size
                self._seal()
            return
        value = self.fields[self._name] + data
        if len(value) > MOST_FIELD_BYTES:
            raise bad_form(f"its part {self._name[:64]!r} is too long", param=self._name[:64])
        self.fields[self._name] = value
