"""Recorded exchanges of real vendors: the few that are kept here, and all of `../shared/data/cassettes` where it is."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.shared import SHARED_DATA

_HERE = Path(__file__).parents[1] / "cassettes"
_SHARED = SHARED_DATA / "cassettes"


@dataclass(frozen=True)
class Cassette:
    """One exchange."""

    name: str
    endpoint: str
    status: int
    request: dict[str, Any] | None
    """None where it was not recorded."""
    body: bytes
    """Of the response."""
    headers: dict[str, str]
    """Of the response, by lower-case name."""
    model: str
    url: str

    @property
    def streamed(self) -> bool:
        return self.body.startswith((b"event:", b"data:", b"\0"))


def cassettes(provider: str, endpoint: str) -> list[Cassette]:
    """All that are at hand, by name."""
    paths = {path.name: path for root in (_HERE, _SHARED / "dev") for path in (root / provider).glob("*.json")}
    found = [_read(path) for _, path in sorted(paths.items())]
    return [cassette for cassette in found if cassette.endpoint == endpoint]


def _read(path: Path) -> Cassette:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    asked, packed = recorded.get("request_body"), recorded.get("response_body_b64")
    return Cassette(
        name=path.stem,
        endpoint=recorded["endpoint"],
        status=recorded["status"],
        request=json.loads(asked) if asked else None,
        body=base64.b64decode(packed) if packed else (recorded["response_body"] or "").encode(),
        headers={name.lower(): value for name, value in recorded["response_headers"].items()},
        model=recorded["model"],
        url=recorded["url"],
    )
