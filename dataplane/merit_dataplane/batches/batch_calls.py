"""The endpoints of `/v1/batches`."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec

from merit_crds.pricing import usd
from merit_dataplane.batches.asked import Asked, Reply
from merit_dataplane.batches.choice import providers_of
from merit_dataplane.batches.ids import Ids, Kept, Kind, not_found
from merit_dataplane.batches.labels import BatchLabel, FileLabel, hash_of_endpoint, labelled_metadata, name_of, pod_of
from merit_dataplane.batches.objects import Object, own_batch, own_file, shown_batch
from merit_dataplane.batches.pages import Start, page_of, walk
from merit_dataplane.batches.requests import operation_of, urls
from merit_dataplane.batches.shelf import ProviderShelf, UnansweredError, listed, shelf_of, shelves_of, with_id
from merit_dataplane.batches.watch import Watch
from merit_dataplane.feedback.answer_id import Labels
from merit_dataplane.feedback.resolve import place_of
from merit_dataplane.live import Live
from merit_dataplane.stages.intake import read_body
from merit_dataplane.upstream.client import Upload, UpstreamClient
from merit_dataplane.wire.body import decoded
from merit_dataplane.wire.errors import RequestError

_MOST_BYTES = 256 * 1024
_MOST_LISTED: Final = 100
_USUALLY_LISTED: Final = 20
_LOOKED_THROUGH: Final = 20
_NANO = 1000
_DONT_RETRY = ((b"x-should-retry", b"false"),)
Charge = Callable[[Asked, int], Awaitable[Callable[[bool], None]]]
"""Books so many pico-dollars ahead; what it gives back is told whether there is such a batch. Raises RequestError."""


class _InDoubtError(RequestError):
    """Nobody knows whether there is such a batch."""


class _Create(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, Any] | None = None


_create = msgspec.json.Decoder(_Create)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class BatchCalls:
    """One for all calls. `pod` is the name of this one."""

    def __init__(self, *, client: UpstreamClient, ids: Ids, live: Live, watch: Watch, charge: Charge, pod: str):
        self._client, self._ids, self._live, self._watch, self._charge = client, ids, live, watch, charge
        self._pod = pod_of(pod)

    async def create(self, asked: Asked) -> Reply:
        """POST /v1/batches."""
        body = await read_body(asked.receive, _MOST_BYTES)
        wanted, fields = decoded(_create, body), decoded(_fields, body)
        kept = self._input(asked, wanted.input_file_id)
        shelf = shelf_of(self._client, asked.tables, kept.provider, kept.endpoint)
        file = await self._file(asked, shelf, kept, wanted.input_file_id)
        labels, headers = self._candidate(asked, file)
        operation = operation_of(wanted.endpoint)
        if operation is None or operation != file.operation:
            words = (
                f"endpoint: must be that of the file's lines, {'/v1/' + file.operation!r} (is {wanted.endpoint[:64]!r})"
            )
            raise RequestError(400, f"{words}. Batches are for {urls()}.", code="invalid_value", param="endpoint")
        label = BatchLabel(
            asked.consumer.key, hash_of_endpoint(shelf.key[1]), labels, operation, file.lines, file.cost, self._pod,
            secrets.token_bytes(6),
        )  # fmt: skip
        sent: dict[str, Any] = {
            **fields,
            "input_file_id": kept.id,
            "endpoint": shelf.shelf.prefix + operation,
            "completion_window": wanted.completion_window,
            "metadata": labelled_metadata(self._ids, shelf.key[0], label, wanted.metadata or {}),
        }
        settle = await self._charge(asked, file.cost * _NANO)
        made = True  # also where this is cancelled: the provider may be at it
        try:
            found = await self._made(shelf, sent, label)
        except RequestError as refusal:
            made = isinstance(refusal, _InDoubtError)
            raise
        finally:
            settle(made)
        self._watch.created(shelf, found, label)
        headers = [*headers, (b"x-merit-expected-cost", usd(file.cost * _NANO).encode())]
        return self._reply(asked, shelf, found, headers)

    async def page(self, asked: Asked) -> Reply:
        """GET /v1/batches."""
        limit = asked.number("limit", _USUALLY_LISTED, _MOST_LISTED)
        shelves = [s for provider in providers_of(asked.consumer) for s in shelves_of(self._client, provider)]
        start, consumer = None, asked.consumer.key
        if after := asked.query.get("after", ""):
            kept = self._ids.kept(Kind.BATCH, after, consumer, asked.tables.providers)
            start = Start((kept.provider, kept.endpoint), kept.id)
        shown: list[Object] = []
        async with aclosing(walk(shelves, lambda s: s.shelf.batches, (), _MOST_LISTED, start)) as found:
            async for shelf, one in found:
                label = own_batch(self._ids, shelf, consumer, one)
                if label is not None:
                    self._watch.seen(shelf, one, label)
                    shown.append(shown_batch(self._ids, shelf, consumer, one))
                    if len(shown) > limit:
                        break
        return Reply(msgspec.json.encode(page_of(shown, limit)))

    async def retrieve(self, asked: Asked, text: str) -> Reply:
        """GET /v1/batches/{id}."""
        return await self._one(asked, text, "GET", "", None)

    async def cancel(self, asked: Asked, text: str) -> Reply:
        """POST /v1/batches/{id}/cancel."""
        await read_body(asked.receive, _MOST_BYTES)
        return await self._one(asked, text, "POST", "/cancel", Upload(0, ()))

    # ----

    def _input(self, asked: Asked, text: str) -> Kept:
        try:
            return self._ids.kept(Kind.FILE, text, asked.consumer.key, asked.tables.providers)
        except RequestError as refusal:
            raise _of_the_file(refusal) from None

    async def _file(self, asked: Asked, shelf: ProviderShelf, kept: Kept, text: str) -> FileLabel:
        """What was found of the file when it was uploaded."""
        try:
            found = await shelf.ask("GET", shelf.file(kept.id))
        except RequestError as refusal:
            raise (_of_the_file(not_found(Kind.FILE, text)) if refusal.status == 404 else refusal) from None
        label = own_file(self._ids, shelf, asked.consumer.key, found)
        if label is None or not label.lines:
            words = "input_file_id: the file was not uploaded with the purpose 'batch'."
            raise RequestError(400, words, code="invalid_value", param="input_file_id")
        return label

    def _candidate(self, asked: Asked, file: FileLabel) -> tuple[Labels, list[tuple[bytes, bytes]]]:
        """Whom its lines are for, while the consumer may still ask that route."""
        labels = self._live.marks.get(file.mark)
        allowed = labels is not None and any(route.key == labels[0] for route in asked.consumer.routes.values())
        place = place_of(labels, asked.tables) if labels is not None and allowed else None
        if labels is None or place is None:
            words = "input_file_id: its lines were written for a candidate that this consumer's routes no longer have. "
            raise RequestError(400, f"{words}Upload the file again.", code="file_outdated", param="input_file_id")
        return labels, list(place[1].headers)

    async def _made(self, shelf: ProviderShelf, sent: dict[str, Any], label: BatchLabel) -> Object:
        """The batch. Never asked for twice: where no answer came, the provider's list says whether there is one."""
        try:
            return with_id(await shelf.ask("POST", shelf.shelf.batches, body=sent))
        except UnansweredError as failure:
            found = await self._find(shelf, label, failure)
            if found is None:
                raise
            return found

    async def _find(self, shelf: ProviderShelf, label: BatchLabel, failure: RequestError) -> Object | None:
        """A batch of which no answer spoke."""
        try:
            page = await shelf.ask("GET", shelf.shelf.batches, (("limit", str(_LOOKED_THROUGH)),))
        except RequestError:
            words = f"{failure} Whether the batch exists is not known: look at GET /v1/batches before you try again."
            raise _InDoubtError(
                failure.status, words, kind=failure.kind, code="batch_in_doubt", headers=_DONT_RETRY
            ) from None
        return next((one for one in listed(page) if own_batch(self._ids, shelf, label.consumer, one) == label), None)

    async def _one(self, asked: Asked, text: str, method: str, what: str, upload: Upload | None) -> Reply:
        consumer = asked.consumer.key
        kept = self._ids.kept(Kind.BATCH, text, consumer, asked.tables.providers)
        shelf = shelf_of(self._client, asked.tables, kept.provider, kept.endpoint)
        try:
            found = await shelf.ask(method, shelf.batch(kept.id) + what, upload=upload)
        except RequestError as refusal:
            raise (not_found(Kind.BATCH, text) if refusal.status == 404 else refusal) from None
        label = own_batch(self._ids, shelf, consumer, found)
        if label is not None:
            self._watch.seen(shelf, found, label)
        return self._reply(asked, shelf, found, [shelf.header(consumer)])

    def _reply(self, asked: Asked, shelf: ProviderShelf, found: Object, headers: list[tuple[bytes, bytes]]) -> Reply:
        name = (b"x-merit-batch", name_of(shelf.key[0], str(found.get("id", ""))).encode())
        shown = shown_batch(self._ids, shelf, asked.consumer.key, found)
        return Reply(msgspec.json.encode(shown), [*headers, name])


def _of_the_file(refusal: RequestError) -> RequestError:
    return RequestError(refusal.status, str(refusal), kind=refusal.kind, code=refusal.code, param="input_file_id")
