"""Pictures, documents, films and sounds: OpenAI's parts as Bedrock's blocks.

Bedrock takes bytes or a place in S3; it fetches no URL.
"""

import re
from typing import Any

from merit_dataplane.wire.openai_anthropic.fields import a_string, invalid

Block = dict[str, Any]
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,", re.ASCII)
_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/opus": "opus",
}
_OF = {"image": "image", "text": "document", "application": "document", "video": "video", "audio": "audio"}
_ENDINGS = {"jpg": "jpeg", "htm": "html", "markdown": "md", "mpg": "mpg", "3gp": "three_gp"}
_BY_ENDING = {ending: kind.split("/", maxsplit=1)[0] for kind, ending in _FORMATS.items()}
_SPACES = re.compile(r"\s+")
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z\s\-()\[\]]")


def medium(url: str, where: str, *, name: str = "", fallback: str = "") -> Block:
    """A block for a data URL or an `s3://` one. `name`: a file's; `fallback`: the media type where none is told.

    Raises RequestError (400).
    """
    if url.startswith("s3://"):
        kind, form = _by_ending(url.rsplit(".", 1)[-1], where)
        return _block(kind, form, {"s3Location": {"uri": url}}, name)
    found = _DATA_URL.match(url)
    if found is None:
        reason = "must be a data URL with base64, or s3://: Amazon Bedrock fetches no other URL"
        raise invalid(where, reason)
    media_type = (found[1] or fallback).lower()
    if media_type in _FORMATS:
        kind, form = _OF[media_type.split("/", maxsplit=1)[0]], _FORMATS[media_type]
    else:  # text/x-log, application/octet-stream: the file's name may know more
        kind, form = _by_ending(name.rsplit(".", 1)[-1], where, media_type)
    return _block(kind, form, {"bytes": url[found.end() :]}, name)


def sound(given: Block, where: str) -> Block:
    """OpenAI's `input_audio`. Raises RequestError (400)."""
    form = a_string(given.get("format"), f"{where}.format")
    return _block("audio", form, {"bytes": a_string(given.get("data"), f"{where}.data")}, "")


def document_name(filename: str) -> str:
    """A name as Bedrock allows it: letters, digits, single spaces, hyphens and brackets, 200 at most."""
    stem = filename.rsplit(".", 1)[0] if "." in filename else filename
    return _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", stem)).strip()[:200] or "document"


def _by_ending(ending: str, where: str, media_type: str = "") -> tuple[str, str]:
    form = _ENDINGS.get(ending.lower(), ending.lower())
    kind = _BY_ENDING.get(form)
    if kind is None and media_type.startswith("text/"):
        return "document", "txt"
    if kind is None:
        raise invalid(where, f"is of a kind that Amazon Bedrock doesn't take ({(media_type or ending)[:64]!r})")
    return _OF[kind], form


def _block(kind: str, form: str, source: Block, name: str) -> Block:
    block: Block = {"format": form, "source": source}
    if kind == "document":
        block["name"] = document_name(name)
    return {kind: block}
