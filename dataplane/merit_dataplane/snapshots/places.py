"""Where a provider is: the URLs of each of its endpoints, made once and not per request. They may hold a key."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from merit_crds.snapshot import Endpoint
from merit_dataplane.resilience.circuit import Circuit
from merit_dataplane.wire.dialects import Dialect
from merit_dataplane.wire.openai_request import Operation

Query = Sequence[tuple[str, str]]


class Place(NamedTuple):
    """One endpoint of one provider, whatever the model. URLs may hold a key: they are never logged."""

    name: str
    urls: Mapping[Operation, str]
    stream_urls: Mapping[Operation, str]
    circuits: dict[str, Circuit]
    """By model."""
    base: str = ""
    parameters: str = ""
    """What a URL begins with, and the query that each one has."""

    def url(self, path: str, query: Query = ()) -> str:
        """Of anything here, with these parameters besides."""
        parameters = "&".join(filter(None, (self.parameters, urlencode(query))))
        return f"{self.base}/{path}" + (f"?{parameters}" if parameters else "")

    def __repr__(self) -> str:
        return f"Place({self.name})"


def place(endpoint: Endpoint, dialect: Dialect, query: Query, circuits: dict[str, Circuit]) -> Place:
    """Of an endpoint, with the parameters that every URL of its provider has."""
    taken = {operation: [p for p in query if p[0] not in path.without] for operation, path in dialect.paths.items()}
    urls = {operation: _url(endpoint.url, path.whole, taken[operation]) for operation, path in dialect.paths.items()}
    stream_urls = {
        operation: _url(endpoint.url, path.stream, taken[operation]) for operation, path in dialect.paths.items()
    }
    streams = urls if urls == stream_urls else stream_urls
    return Place(endpoint.name, urls, streams, circuits, endpoint.url, urlencode(query))


def _url(base: str, path: str, query: Query) -> str:
    parameters = urlencode(query)
    return f"{base}/{path}" + (("&" if "?" in path else "?") + parameters if parameters else "")


def of_streams(headers: Mapping[str, str], dialect: Dialect) -> Mapping[str, str]:
    """Those by which some servers know that events are wanted, whatever the body says."""
    if dialect.stream_type != "text/event-stream" or any(name.lower() == "accept" for name in headers):
        return headers
    return {**headers, "Accept": "text/event-stream"}
