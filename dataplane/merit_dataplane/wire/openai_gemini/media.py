"""Parts of a message that are no text: inline data or a place where Gemini finds it."""

import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

from merit_dataplane.wire.openai_anthropic.fields import a_string, an_object, invalid

Part = dict[str, Any]
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,", re.ASCII)
_SOUNDS = {"mp3": "audio/mp3", "wav": "audio/wav"}


def part_of(part: Part, where: str) -> Part:
    """Gemini's part for one of OpenAI's. Raises RequestError (400)."""
    match part.get("type"):
        case "image_url" | "video_url" as kind:
            given = part.get(kind)
            url = given if isinstance(given, str) else an_object(given, f"{where}.{kind}").get("url")
            usual = "image/jpeg" if kind == "image_url" else "video/mp4"
            return placed(a_string(url, f"{where}.{kind}.url"), f"{where}.{kind}.url", usual)
        case "input_audio":
            sound = an_object(part.get("input_audio"), f"{where}.input_audio")
            kind = a_string(sound.get("format") or "wav", f"{where}.input_audio.format")
            data = a_string(sound.get("data"), f"{where}.input_audio.data")
            return {"inlineData": {"mimeType": _SOUNDS.get(kind, f"audio/{kind}"), "data": data}}
        case "file":
            return _file(an_object(part.get("file"), f"{where}.file"), f"{where}.file")
        case None if len(part) > 0 and not {"inlineData", "inline_data", "fileData", "file_data"}.isdisjoint(part):
            return part  # Gemini's own, from a client that knows who answers
        case kind:
            raise invalid(f"{where}.type", f"{str(kind)[:64]!r} can't be sent to a provider of the protocol Gemini")


def _file(file: Part, where: str) -> Part:
    if file.get("file_id"):
        return placed(a_string(file["file_id"], f"{where}.file_id"), f"{where}.file_id", "application/pdf")
    usual = mimetypes.guess_type(str(file.get("filename") or ""))[0] or "application/pdf"
    return placed(a_string(file.get("file_data"), f"{where}.file_data"), f"{where}.file_data", usual)


def placed(url: str, where: str, usual: str) -> Part:
    """Data of a data URL, or the URL. `usual`: the type where a URL's ending tells none. Raises RequestError (400)."""
    if found := _DATA_URL.match(url):
        return {"inlineData": {"mimeType": found[1], "data": url[found.end() :]}}
    if url.startswith(("https://", "http://", "gs://")):
        try:
            path = urlsplit(url).path
        except ValueError:
            raise invalid(where, "must be a URL") from None
        return {"fileData": {"mimeType": mimetypes.guess_type(path)[0] or usual, "fileUri": url}}
    raise invalid(where, "must be an http(s) or gs URL or a data URL with base64")
