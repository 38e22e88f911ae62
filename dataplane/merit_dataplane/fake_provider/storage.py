"""Files and batches of a simulated vendor, in memory: uploaded, answered line by line, listed, cancelled, deleted.

A batch takes `batch_seconds`; its lines are answered when somebody looks at it after that, with what single requests
would get. One that is cancelled before has answers for the share of its lines whose time has passed.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from merit_dataplane.batches.form import UploadForm
from merit_dataplane.batches.jsonl import lines_of
from merit_dataplane.fake_provider.answers import Answer
from merit_dataplane.fake_provider.errors import Refusal
from merit_dataplane.wire.errors import RequestError

Object = dict[str, Any]
Reply = tuple[int, bytes, bytes]
"""Status, content type, body."""
Ask = Callable[[str, Object], Answer]
"""An operation's answer to a request. Raises Refusal."""
_JSON = b"application/json"
_PREFIXES = ("/v1/", "/openai/")
_URLS = ("/v1/", "/")
_encode = msgspec.json.Encoder().encode


def is_stored(path: str) -> bool:
    """Whether a path is one of files or batches."""
    return path.startswith(tuple(prefix + what for prefix in _PREFIXES for what in ("files", "batches")))


class Storage:
    """Of one vendor. `ask` answers a line."""

    def __init__(self, ask: Ask):
        self._ask = ask
        self._files: dict[str, tuple[Object, bytes]] = {}
        self._batches: dict[str, Object] = {}

    def serve(  # noqa: PLR0917 # one request
        self, method: str, path: str, query: dict[str, str], kind: bytes, body: bytes, seconds: float
    ) -> Reply:
        """`seconds` is how long batches take now. Raises Refusal."""
        prefix = next(prefix for prefix in _PREFIXES if path.startswith(prefix))
        what, *rest = path.removeprefix(prefix).split("/")
        if what == "files" and method == "GET" and rest[1:] == ["content"]:
            return 200, b"application/octet-stream", self._file(rest[0])[1]
        made = self._of_files(method, rest, query, (kind, body)) if what == "files" else None
        made = self._of_batches(method, rest, query, body, seconds) if what == "batches" else made
        if made is None:
            raise Refusal(404, f"Unknown request URL: {method} {path}.", "unknown_url")
        return 200, _JSON, _encode(made)

    def _of_files(
        self, method: str, rest: list[str], query: dict[str, str], form: tuple[bytes, bytes]
    ) -> Object | None:
        match method, *rest:
            case ("POST",):
                return self._upload(*form)
            case ("GET",):
                wanted = query.get("purpose", "")
                files = [made for made, _ in self._files.values() if wanted in {"", made["purpose"]}]
                return _page(files if query.get("order") == "asc" else files[::-1], query, 10_000)
            case "GET", name:
                return self._file(name)[0]
            case "DELETE", name:
                self._file(name)
                del self._files[name]
                return {"object": "file", "id": name, "deleted": True}
        return None

    def _of_batches(  # as above
        self, method: str, rest: list[str], query: dict[str, str], body: bytes, seconds: float
    ) -> Object | None:
        match method, *rest:
            case ("POST",):
                return self._create(body, seconds)
            case ("GET",):
                return _page([self._look(batch) for batch in reversed(self._batches.values())], query, 20)
            case "GET", name:
                return self._look(self._batch(name))
            case "POST", name, "cancel":
                return self._cancel(self._batch(name))
        return None

    # ---- files

    def _upload(self, kind: bytes, body: bytes) -> Object:
        try:
            form = UploadForm(kind)
            form.feed(body)
            form.finish()
        except RequestError as error:
            raise Refusal(400, str(error)) from None
        purpose = form.fields.get("purpose", b"").decode()
        if form.filename is None or not purpose:
            raise Refusal(400, "'file' and 'purpose' are required properties")
        return self._keep(b"".join(form.pieces), form.filename.decode("utf-8", "replace"), purpose)

    def _keep(self, data: bytes, name: str, purpose: str) -> Object:
        made: Object = {
            "object": "file",
            "id": f"file-{secrets.token_hex(11)}",
            "purpose": purpose,
            "filename": name,
            "bytes": len(data),
            "created_at": int(time.time()),
            "expires_at": None,
            "status": "processed",
            "status_details": None,
        }
        self._files[made["id"]] = (made, data)
        return made

    def _file(self, name: str) -> tuple[Object, bytes]:
        found = self._files.get(name)
        if found is None:
            raise Refusal(404, f"No such File object: {name}", "not_found")
        return found

    # ---- batches

    def _create(self, body: bytes, seconds: float) -> Object:
        try:
            asked = msgspec.json.decode(body, type=Object)
        except ValueError:
            raise Refusal(400, "We could not parse the JSON body of your request.") from None
        file = asked.get("input_file_id")
        if not isinstance(file, str) or self._file(file)[0]["purpose"] != "batch":
            raise Refusal(400, "input_file_id: a file of the purpose batch is required")
        now = time.time()
        moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        made: Object = {
            "id": f"batch_{secrets.token_hex(16)}",
            "object": "batch",
            "endpoint": asked.get("endpoint", ""),
            "errors": None,
            "input_file_id": file,
            "completion_window": asked.get("completion_window", "24h"),
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(now),
            **{f"{moment}_at": None for moment in moments},
            "expires_at": int(now) + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "usage": None,
            "metadata": asked.get("metadata"),
            "_until": now + seconds,
            "_since": now,
        }
        self._batches[made["id"]] = made
        return _shown(made)

    def _batch(self, name: str) -> Object:
        found = self._batches.get(name)
        if found is None:
            raise Refusal(404, f"No batch found with id '{name}'.", "not_found")
        return found

    def _look(self, batch: Object) -> Object:
        """As it is now."""
        if batch["status"] in {"validating", "in_progress"}:
            batch["in_progress_at"] = batch["in_progress_at"] or int(time.time())
            batch["status"] = "in_progress"
            if time.time() >= batch["_until"]:
                self._answer(batch, 1.0, "completed")
        elif batch["status"] == "cancelling":
            passed = time.time() - batch["_since"]
            self._answer(batch, passed / max(passed, batch["_until"] - batch["_since"]), "cancelled")
        return _shown(batch)

    def _cancel(self, batch: Object) -> Object:
        self._look(batch)
        if batch["status"] != "in_progress":
            raise Refusal(409, f"Cannot cancel a batch with status '{batch['status']}'.")
        batch["status"], batch["cancelling_at"] = "cancelling", int(time.time())
        return _shown(batch)

    def _answer(self, batch: Object, share: float, status: str) -> None:
        data = self._files[batch["input_file_id"]][1] if batch["input_file_id"] in self._files else b""
        good, bad, used, models = list[bytes](), list[bytes](), [0, 0], set[str]()
        lines = list(lines_of([data]))
        for number, text in lines[: int(len(lines) * share)]:
            line = msgspec.json.decode(text, type=Object)
            models.add(str(line["body"].get("model")))
            if line.get("url") != batch["endpoint"] or len(models) > 1:
                return self._fail(batch, number)
            answered, body = self._line(line)
            made = {"status_code": answered, "request_id": secrets.token_hex(8), "body": msgspec.Raw(body)}
            name = f"batch_req_{secrets.token_hex(8)}"
            told = {"id": name, "custom_id": line["custom_id"], "response": made, "error": None}
            (good if answered == 200 else bad).append(_encode(told) + b"\n")
            for place, tokens in enumerate(_tokens(body)):
                used[place] += tokens
        for name, what, written in (("output", "output_file_id", good), ("error", "error_file_id", bad)):
            if written:
                batch[what] = self._keep(b"".join(written), f"{batch['id']}_{name}.jsonl", "batch_output")["id"]
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        batch["usage"] = {"input_tokens": used[0], "output_tokens": used[1], "total_tokens": sum(used)}
        batch["status"] = status
        batch["finalizing_at"] = batch[f"{status}_at"] = int(time.time())
        return None

    def _fail(self, batch: Object, line: int) -> None:
        words = "All lines need one model and one url."
        error = {"code": "invalid_request", "message": words, "param": None, "line": line}
        batch["errors"] = {"object": "list", "data": [error]}
        batch["status"], batch["failed_at"] = "failed", int(time.time())

    def _line(self, line: Object) -> tuple[int, bytes]:
        url = line["url"]
        path = next((url.removeprefix(prefix) for prefix in _URLS if url.startswith(prefix)), url)
        try:
            return 200, msgspec.json.format(self._ask(path, line["body"]).body, indent=-1)  # without line ends
        except Refusal as refusal:
            return refusal.status, refusal.body


class _Used(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(msgspec.Struct):
    usage: _Used = _Used()


def _tokens(body: bytes) -> tuple[int, int]:
    usage = msgspec.json.decode(body, type=_Body).usage
    return usage.prompt_tokens, usage.completion_tokens


def _shown(batch: Object) -> Object:
    return {name: value for name, value in batch.items() if not name.startswith("_")}


def _page(found: list[Object], query: dict[str, str], usual: int) -> Object:
    ids = [one["id"] for one in found]
    after, limit = query.get("after", ""), query.get("limit", "")
    begin = ids.index(after) + 1 if after in ids else 0
    most = int(limit) if limit.isdecimal() else usual
    listed = found[begin : begin + most]
    return {
        "object": "list",
        "data": listed,
        "first_id": listed[0]["id"] if listed else None,
        "last_id": listed[-1]["id"] if listed else None,
        "has_more": begin + most < len(found),
    }
