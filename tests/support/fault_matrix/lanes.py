"""The columns of the matrix: a client's endpoint, a provider's protocol, streamed or not; and what is asked there."""

from dataclasses import dataclass
from typing import Any

from tests.support.fault_matrix.answers import FUNCTION, Asked, answer
from tests.support.fault_matrix.faults import FAULTS, Fault, Moment
from tests.support.fault_matrix.vendor import Plan, place
from tests.support.gateway import free_port
from tests.support.resources import CONSUMER, prices, provider

MOST_TOKENS = 20
"""That a client lets a model write."""
_BASES = {"OpenAI": "/v1", "Responses": "/v1", "Anthropic": "/v1", "Gemini": "/v1beta", "Bedrock": "", "Cohere": "/v2"}
_SHAPES = {
    "Anthropic": "messages",
    "Gemini": "gemini",
    "Bedrock": "bedrock",
    "Cohere": "cohere",
    "Responses": "responses",
}
_ABLE = "Streaming, Tools, ParallelTools, JsonObject, JsonSchema, Embeddings"
_EMBEDS = "amazon.titan-embed-text-v2:0"
"""Merit knows models of embeddings at Amazon by their names."""
_FUNCTION: dict[str, Any] = {"type": "object", "properties": {"plant": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Lane:
    """One column."""

    operation: str
    """`chat/completions`, `completions`, `embeddings`, `messages`, `responses`."""
    protocol: str
    """Of the primary: a Provider's, or `Responses` for a model of OpenAI's protocol that has them."""
    stream: bool
    alone: bool = False
    """There is no fallback."""

    def __str__(self) -> str:
        kind = "stream" if self.stream else "whole"
        return f"{self.operation.partition('/')[0]} {self.protocol} {kind}{' alone' if self.alone else ''}"

    @property
    def shape(self) -> str:
        """Of the primary's answers (see `answers`)."""
        if self.operation == "embeddings":
            return "embeddings" if self.protocol == "OpenAI" else f"embeddings-{self.protocol.lower()}"
        if self.protocol == "OpenAI":
            return "completions" if self.operation == "completions" else "chat"
        return _SHAPES[self.protocol]

    def plans(self) -> list[Plan]:
        """The rows that there are in this column."""
        made = []
        for fault in FAULTS:
            if fault.streams if self.stream else fault.wholes:
                made += [Plan(fault, moment, calls) for moment, calls in self._moments(fault)]
        return made

    def _moments(self, fault: Fault) -> list[tuple[Moment, bool]]:
        found: list[tuple[Moment, bool]] = []
        for moment in fault.moments:
            if moment is Moment.NEVER:
                found.append((moment, False))
                if self._has_calls:
                    found.append((moment, True))
            elif moment in (Moment.CONNECT, Moment.HEAD, Moment.BODY):
                found.append((moment, False))
            elif self.stream and (moment is not Moment.CALL or self._has_calls):
                calls = moment is Moment.CALL
                events = answer(self.shape, Asked("m", 1, calls)).events
                if place(events, moment) is not None:
                    found.append((moment, calls))
        return found

    @property
    def _has_calls(self) -> bool:
        return self.operation not in ("completions", "embeddings")

    def request(self, cell: int, *, calls: bool) -> dict[str, Any]:
        """What the client asks in a cell."""
        model, said = f"model-{cell}", f"Say it, please; this is cell-{cell} of the matrix."
        streamed: dict[str, Any] = {"stream": True} if self.stream else {}
        match self.operation:
            case "embeddings":
                return {"model": model, "input": said}
            case "completions":
                more = {**streamed, "stream_options": {"include_usage": True}} if self.stream else {}
                return {"model": model, "prompt": said, "max_tokens": MOST_TOKENS, **more}
            case "responses":
                tool = {"type": "function", "name": FUNCTION, "parameters": _FUNCTION}
                tools = {"tools": [tool]} if calls else {}
                return {"model": model, "input": said, "max_output_tokens": MOST_TOKENS, **tools, **streamed}
        body = {"model": model, "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": said}], **streamed}
        if self.operation == "messages":
            return body | ({"tools": [{"name": FUNCTION, "input_schema": _FUNCTION}]} if calls else {})
        if calls:
            body["tools"] = [{"type": "function", "function": {"name": FUNCTION, "parameters": _FUNCTION}}]
        return body | ({"stream_options": {"include_usage": True}} if self.stream else {})

    def resources(self, plans: list[Plan], port: int, tls_port: int) -> list[str]:
        """A primary of its own for each cell, so that no cell's fault is another one's; one fallback for all."""
        shut = free_port()
        bases = {
            "refused": f"http://127.0.0.1:{shut}",
            "dns": "http://fault-matrix.invalid",
            "tls": f"https://127.0.0.1:{port}",
            "certificate": f"https://127.0.0.1:{tls_port}",
        }
        documents = [CONSUMER]
        if not self.alone:
            documents += [
                provider("fallback", f"http://127.0.0.1:{port}/fallback/v1"),
                prices(
                    "fallback", "10", "20", capabilities=f"{_ABLE}, AssistantPrefix", extra="contextWindow: 1000000"
                ),
            ]
        able = f"{_ABLE}, Responses" if self.protocol == "Responses" else _ABLE
        protocol = "OpenAI" if self.protocol == "Responses" else self.protocol
        model = _EMBEDS if self.shape == "embeddings-bedrock" else "primary-model"
        for cell, plan in enumerate(plans):
            name = f"primary-{cell}"
            url = bases.get(plan.fault.name, f"http://127.0.0.1:{port}") + "/primary" + _BASES[self.protocol]
            documents += [
                provider(
                    name,
                    url,
                    protocol=protocol,
                    extra=_limits(plan),
                ),
                prices(name, "1", "2", model=model, capabilities=able, extra="contextWindow: 8192"),
                self._route(cell, name, model, _whole_time(plan) if self.alone else ""),
            ]
        return documents

    def _route(self, cell: int, name: str, model: str, extra: str) -> str:
        candidates = f'{{provider: {{name: {name}}}, model: "{model}"}}'
        if not self.alone:
            candidates += ", {provider: {name: fallback}, model: fallback-model}"
        return f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: route-{cell}}}
spec:
  models: [model-{cell}]
  tiers: [{{name: all, candidates: [{candidates}]}}]
  {extra}
"""


def _limits(plan: Plan) -> str:
    """Only the limit of time that is to pass is short, so that a busy machine makes no other outcome.

    Three seconds are what a stream's end mark is waited for in any case.
    """
    if not plan.fault.waits:
        return ""
    match plan.moment:
        case Moment.CONNECT:
            return "timeouts: {connect: 300ms}"
        case Moment.HEAD:
            return "timeouts: {firstByte: 3s}"
        case Moment.BODY | Moment.TOKEN:
            return "timeouts: {firstToken: 3s, total: 3s}"
    return "timeouts: {idle: 3s}"


def _whole_time(plan: Plan) -> str:
    """Of a route without a fallback: the last candidate is given all of its time to its first token."""
    return "timeouts: {total: 4s}" if plan.fault.waits and plan.moment is not Moment.CONNECT else ""


def _lanes() -> tuple[Lane, ...]:
    of_chat = ("OpenAI", "Anthropic", "Gemini", "Bedrock", "Cohere")
    made = [Lane("chat/completions", protocol, stream) for protocol in of_chat for stream in (True, False)]
    made += [Lane("completions", "OpenAI", stream) for stream in (True, False)]
    made += [Lane("embeddings", protocol, stream=False) for protocol in ("OpenAI", "Gemini", "Bedrock", "Cohere")]
    for operation, own in (("messages", "Anthropic"), ("responses", "Responses")):
        protocols = dict.fromkeys((own, *of_chat))
        made += [Lane(operation, protocol, stream) for protocol in protocols for stream in (True, False)]
    alone = ("chat/completions", "OpenAI"), ("messages", "Anthropic"), ("responses", "Responses")
    made += [Lane(operation, protocol, stream, alone=True) for operation, protocol in alone for stream in (True, False)]
    return tuple(made)


LANES = _lanes()
