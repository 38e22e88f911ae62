"""The endpoints of `/v1/files`."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from merit_crds.pricing import usd
from merit_dataplane.batches.asked import Asked, Reply
from merit_dataplane.batches.choice import Choice, choices, keeper, providers_of
from merit_dataplane.batches.form import UploadForm
from merit_dataplane.batches.ids import Ids, Kept, Kind, not_found
from merit_dataplane.batches.labels import FileLabel, hash_of, hash_of_endpoint, labelled_name
from merit_dataplane.batches.objects import Object, own_file, shown_file
from merit_dataplane.batches.pages import Start, page_of, walk
from merit_dataplane.batches.requests import read_requests, written
from merit_dataplane.batches.shelf import ProviderShelf, UnaskedError, shelf_of, shelves_of, with_id
from merit_dataplane.batches.watch import Watch
from merit_dataplane.exchange import CLIENT_GONE
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.upstream.client import Upload, UpstreamClient, UpstreamError, UpstreamResponse
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature

_IDLE_SECONDS = 60.0
_UPLOAD_SECONDS = 600.0
_MOST_LISTED: Final = 10_000
_PAGE: Final = 1000
"""Of the provider's list: ten times as much would hold up others while it is read."""
_NANO = 1000
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_KIND = re.compile(r"[\x20-\x7e]{1,200}")
_BATCHES = int(Feature.BATCHES)


class FileCalls:
    """One for all calls."""

    def __init__(self, client: UpstreamClient, ids: Ids, bodies: Bodies, max_body_bytes: int, watch: Watch):
        self._client, self._ids, self._bodies, self._limit, self._watch = client, ids, bodies, max_body_bytes, watch

    async def upload(self, asked: Asked) -> Reply:
        """POST /v1/files."""
        form = await self._read(asked)
        if form.filename is None:
            raise _missing("file")
        purpose = form.fields.get("purpose", b"").decode("utf-8", "replace")
        if not purpose:
            raise _missing("purpose")
        if purpose == "batch":
            return await self._batch(asked, form)
        model = form.fields.pop("model", b"").decode("utf-8", "replace")
        _, target = keeper(asked.consumer, model)
        label = FileLabel(hash_of(asked.consumer.key), 0)
        return await self._anywhere(asked, form, [(target, form.pieces, label)])

    async def page(self, asked: Asked) -> Reply:
        """GET /v1/files."""
        limit = asked.number("limit", _MOST_LISTED, _MOST_LISTED)
        query = [(name, asked.query[name]) for name in ("purpose", "order") if asked.query.get(name)]
        shelves = [s for provider in providers_of(asked.consumer) for s in shelves_of(self._client, provider)]
        start, consumer = None, asked.consumer.key
        if after := asked.query.get("after", ""):
            kept = self._kept(asked, after)
            start = Start((kept.provider, kept.endpoint), kept.id)
        shown: list[Object] = []
        async with aclosing(walk(shelves, lambda s: s.shelf.files, query, _PAGE, start)) as found:
            async for shelf, one in found:
                if own_file(self._ids, shelf, consumer, one) is not None:
                    shown.append(shown_file(self._ids, shelf, consumer, one))
                    if len(shown) > limit:
                        break
        return _json(page_of(shown, limit))

    async def retrieve(self, asked: Asked, text: str) -> Reply:
        """GET /v1/files/{id}."""
        kept, shelf = self._find(asked, text)
        found = await self._ask(shelf, "GET", kept, text)
        shown = shown_file(self._ids, shelf, asked.consumer.key, found, batch=kept.batch)
        return _json(shown, shelf.header(asked.consumer.key))

    async def content(self, asked: Asked, text: str) -> Reply:
        """GET /v1/files/{id}/content."""
        kept, shelf = self._find(asked, text)
        try:
            response = await shelf.open(shelf.file(kept.id) + "/content")
        except RequestError as refusal:
            raise (not_found(Kind.FILE, text) if refusal.status == 404 else refusal) from None
        kind = (response.header("content-type") or "application/octet-stream").encode("utf-8", "replace")
        headers = [shelf.header(asked.consumer.key)]
        length = response.header("content-length")
        if length is not None and response.header("content-encoding") is None:
            headers.append((b"content-length", length.encode()))
        if not _KIND.fullmatch(kind.decode()):
            kind = b"application/octet-stream"
        return Reply(headers=headers, kind=kind, stream=_passed(shelf, response))

    async def delete(self, asked: Asked, text: str) -> Reply:
        """DELETE /v1/files/{id}. What a batch has cost is booked before its output goes."""
        kept, shelf = self._find(asked, text)
        if kept.batch:
            await self._watch.before_deletion(shelf, kept.batch)
        await self._ask(shelf, "DELETE", kept, text)
        return _json({"id": text, "object": "file", "deleted": True}, shelf.header(asked.consumer.key))

    # ---- an upload

    async def _read(self, asked: Asked) -> UploadForm:
        """Its form. Raises RequestError (400, 408, 413, 415, 503)."""
        kind = asked.header(b"content-type")
        if not kind.lower().lstrip().startswith(b"multipart/form-data"):
            words = "Send a file as 'Content-Type: multipart/form-data; boundary=…', with the parts file and purpose."
            raise RequestError(415, words, code="unsupported_media_type")
        announced = asked.header(b"content-length")
        if announced.isdigit() and int(announced) > self._limit:
            raise self._too_large()
        form, more = UploadForm(kind), True
        try:
            async with asyncio.timeout(_UPLOAD_SECONDS):
                while more:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        message = await asked.receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(CLIENT_GONE, "the client has gone", kind="client_gone")
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    self._hold(asked, len(piece))
                    if asked.held > self._limit:
                        raise self._too_large()
                    form.feed(piece)
        except TimeoutError:
            raise RequestError(408, "The file did not arrive in time.") from None
        form.finish()
        return form

    def _hold(self, asked: Asked, size: int) -> None:
        self._bodies.take(size)
        asked.held += size

    def _too_large(self) -> RequestError:
        return RequestError(413, f"The upload has more than {self._limit} bytes.", code="request_too_large")

    async def _batch(self, asked: Asked, form: UploadForm) -> Reply:
        """The lines of a batch, for the cheapest provider that can serve them."""
        form.fields.pop("model", None)  # the lines say it
        requests = await read_requests(form.pieces, asked.consumer, asked.headers)
        order = await choices(requests, asyncio.get_running_loop().time(), time.time())
        owner = hash_of(asked.consumer.key)

        def label(choice: Choice) -> FileLabel:
            mark, cost = choice.target.learned.mark, -(-choice.cost // _NANO)
            return FileLabel(owner, 0, mark, requests.operation, requests.lines, choice.input_tokens, cost)

        made = [(choice.target, None, label(choice)) for choice in order[: requests.route.attempts]]
        return await self._anywhere(asked, form, made)

    async def _anywhere(
        self, asked: Asked, form: UploadForm, order: Sequence[tuple[Target, Sequence[bytes] | None, FileLabel]]
    ) -> Reply:
        """At the first endpoint that takes it. Another one is asked only where the one before surely has no file."""
        failure: RequestError | None = None
        fields = _fields(form)
        for target, pieces, label in order:
            blocks = pieces
            if blocks is None:
                blocks = await written(form.pieces, target)
                self._hold(asked, sum(map(len, blocks)))
            for shelf in shelves_of(self._client, target.provider):
                try:
                    found = await self._put(shelf, form, fields, label, blocks)
                except UnaskedError as error:
                    failure = error.with_traceback(None)
                    continue
                shown = shown_file(self._ids, shelf, asked.consumer.key, found)
                if isinstance(found.get("bytes"), int) and pieces is None:
                    shown["bytes"] = sum(map(len, form.pieces))  # as the client has it; the provider's is written anew
                headers = list(target.headers) if pieces is None else [shelf.header(asked.consumer.key)]
                if pieces is None:
                    headers.append((b"x-merit-expected-cost", usd(label.cost * _NANO).encode()))
                return Reply(msgspec.json.encode(shown), headers)
            if pieces is None:
                size = sum(map(len, blocks))
                self._bodies.give(size)
                asked.held -= size
        try:
            raise failure or RequestError(502, "No provider took the file.", kind="upstream_error", code="all_failed")
        finally:
            del failure  # it holds this frame: a cycle

    async def _put(
        self,
        shelf: ProviderShelf,
        form: UploadForm,
        fields: Sequence[tuple[str, bytes]],
        label: FileLabel,
        blocks: Sequence[bytes],
    ) -> Object:
        label = msgspec.structs.replace(label, endpoint=hash_of_endpoint(shelf.key[1]))
        told = (form.filename or b"").decode("utf-8", "replace").replace('\\"', '"').replace("\\\\", "\\")
        name = labelled_name(self._ids, shelf.key[0], label, told or "file")
        boundary = secrets.token_hex(16)
        named = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"\r\n\r\n{{}}\r\n'
        head = "".join(named.format(key, value.decode("utf-8", "replace")) for key, value in fields)
        escaped = name.replace('"', "%22").replace("\r", " ").replace("\n", " ")
        kind = "application/jsonl" if label.lines else "application/octet-stream"
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
        begin = (head + f"Content-Type: {kind}\r\n\r\n").encode()
        end = f"\r\n--{boundary}--\r\n".encode()
        upload = Upload(len(begin) + sum(map(len, blocks)) + len(end), _joined(begin, blocks, end))
        form_kind = f"multipart/form-data; boundary={boundary}"
        try:
            return with_id(await shelf.ask("POST", shelf.shelf.files, upload=upload, kind=form_kind))
        except RequestError as refusal:
            if refusal.status not in {404, 405}:
                raise
            words = f"Provider {shelf.provider.key}: has no files, it answered {refusal.status}."
            raise UnaskedError(502, words, kind="upstream_error", code="provider_failed") from None

    # ---- one file

    def _kept(self, asked: Asked, text: str) -> Kept:
        return self._ids.kept(Kind.FILE, text, asked.consumer.key, asked.tables.providers)

    def _find(self, asked: Asked, text: str) -> tuple[Kept, ProviderShelf]:
        kept = self._kept(asked, text)
        return kept, shelf_of(self._client, asked.tables, kept.provider, kept.endpoint)

    @staticmethod
    async def _ask(shelf: ProviderShelf, method: str, kept: Kept, text: str) -> Object:
        try:
            return await shelf.ask(method, shelf.file(kept.id))
        except RequestError as refusal:
            raise (not_found(Kind.FILE, text) if refusal.status == 404 else refusal) from None


async def _passed(shelf: ProviderShelf, response: UpstreamResponse) -> AsyncGenerator[bytes, None]:
    """Bytes as they come. Where they break off, so does the client's connection: nothing else could be said."""
    try:
        async for piece in shelf.chunks(response):
            yield piece
    except (UpstreamError, TimeoutError) as error:
        raise ConnectionResetError(str(error)) from None
    finally:
        response.close()


def _fields(form: UploadForm) -> list[tuple[str, bytes]]:
    for name in form.fields:
        if not _FIELD.fullmatch(name):
            raise RequestError(400, f"The form has a part of the name {name[:64]!r}.", code="invalid_form")
    return list(form.fields.items())


def _joined(begin: bytes, blocks: Sequence[bytes], end: bytes) -> Iterator[bytes]:
    yield begin
    yield from blocks
    yield end


def _json(document: Object, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(msgspec.json.encode(document), list(headers))


def _missing(name: str) -> RequestError:
    return RequestError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
