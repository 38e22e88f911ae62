"""Access tokens, sent as `Authorization: Bearer`."""

from collections.abc import Awaitable, Callable, Mapping

from merit_dataplane.authentication.renewed import Fetched, Renewed


class BearerToken:
    """One Provider's token, renewed before it ends."""

    lasting = True

    def __init__(self, name: str, fetch: Callable[[], Awaitable[Fetched[str]]]):
        self._token = Renewed(name, fetch)
        self._made: tuple[Mapping[str, str], str, Mapping[str, str]] | None = None
        self.start, self.close, self.refused = self._token.start, self._token.close, self._token.refused

    async def headers(self, url: str, given: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See Authentication. The same mapping while the token is the same."""
        del url, body
        token = await self._token.current()
        made = self._made
        if made is None or made[0] is not given or made[1] is not token:
            made = self._made = (given, token, {**given, "Authorization": f"Bearer {token}"})
        return made[2]

    def secrets(self) -> tuple[bytes, ...]:
        """See Authentication."""
        token = self._token.last
        return (token.encode(),) if token else ()
