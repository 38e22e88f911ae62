"""OpenTelemetry spans over OTLP/HTTP: one per request, a child per attempt. Imported only where an endpoint is set.

What a span says is what the usage line says: no text of prompts or answers, no key. Names are those of OpenTelemetry's
conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai), and Merit's own under `merit.`.

Spans go into a bounded queue that a thread empties: a collector that is away costs spans, never a request.
"""

import threading
from collections.abc import Mapping
from os import environ
from typing import Final

import msgspec
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from merit_crds.pricing import usd
from merit_crds.usage_line import UsageLine
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.snapshots.tables import EndpointPlan, Headers, Tables
from merit_dataplane.wire.openai_request import Call, Operation

_EXPORT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_CHAT = ("chat", "")
_OPERATIONS = {
    Operation.COMPLETIONS: ("text_completion", ""),
    Operation.EMBEDDINGS: ("embeddings", ""),
    Operation.MODERATIONS: ("moderation", ""),
    Operation.IMAGES: ("generate_content", "image"),
    Operation.IMAGE_EDITS: ("generate_content", "image"),
    Operation.IMAGE_VARIATIONS: ("generate_content", "image"),
    Operation.SPEECH: ("generate_content", "speech"),
    Operation.TRANSCRIPTIONS: ("generate_content", "text"),
    Operation.TRANSLATIONS: ("generate_content", "text"),
}
"""`gen_ai.operation.name` and `gen_ai.output.type`; every other one is a chat, whose output is what it says.

The conventions have no word for a moderation, and allow one of one's own then.
"""
PROVIDERS: Final = {
    "Anthropic": "anthropic",
    "AzureOpenAI": "azure.ai.openai",
    "Bedrock": "aws.bedrock",
    "Cohere": "cohere",
    "Gemini": "gcp.gemini",
    "OpenAI": "openai",
    "VertexAnthropic": "gcp.vertex_ai",
    "VertexGemini": "gcp.vertex_ai",
}
"""`gen_ai.provider.name`, by protocol: who stands behind one that speaks OpenAI's is not known."""
_W3C = (b"traceparent", b"tracestate")
_propagator = TraceContextTextMapPropagator()
Value = str | int | float | bool


class Tracing:
    """Of one process. `endpoint` is the full URL that takes traces."""

    def __init__(self, endpoint: str, *, pod: str):
        attributes = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "merit"}
        resource = Resource.create(attributes | ({SERVICE_INSTANCE_ID: pod} if pod else {}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("merit")

    def begin(self, headers: Headers, operation: Operation) -> "RequestTrace":
        """A request has come; its client's `traceparent`, where it sent one, is the parent."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _W3C}
        return RequestTrace(self._tracer, _propagator.extract(carrier) if carrier else None, operation)

    def close(self) -> None:
        """Sends what is left. Blocks for a few seconds at most, whatever the collector does."""
        sender = threading.Thread(target=self._provider.shutdown, daemon=True)
        sender.start()
        sender.join(_CLOSE_SECONDS)


class RequestTrace:
    """The spans of one request."""

    __slots__ = ("_attempt", "_context", "_operation", "_span", "_tracer")

    def __init__(self, tracer: Tracer, parent: Context | None, operation: Operation):
        self._tracer = tracer
        self._operation, output = _OPERATIONS.get(operation, _CHAT)
        # without a parent of the client's a new trace, not one that this thread may be in
        self._span = tracer.start_span(self._operation, parent or Context(), SpanKind.SERVER)
        self._context = set_span_in_context(self._span)
        self._attempt: Span | None = None
        if self._span.is_recording():
            self._span.set_attribute("gen_ai.operation.name", self._operation)
            if output:
                self._span.set_attribute("gen_ai.output.type", output)
            self._span.set_attribute("http.request.method", "POST")
            self._span.set_attribute("http.route", f"/v1/{operation}")

    def asks(self, bid: Bid, endpoint: EndpointPlan, attempt: int, tables: Tables | None) -> None:
        """An attempt begins."""
        self._end_attempt()
        target = bid.target
        span = self._attempt = self._tracer.start_span(
            f"{self._operation} {target.model}", self._context, SpanKind.CLIENT
        )
        if span.is_recording():
            entry = tables.snapshot.providers.get(target.provider.key) if tables is not None else None
            span.set_attributes({
                "gen_ai.operation.name": self._operation,
                "gen_ai.provider.name": PROVIDERS.get(entry.protocol, entry.protocol) if entry is not None else "",
                "gen_ai.request.model": target.model,
                "merit.attempt": attempt,
                "merit.provider": target.provider.key,
                "merit.endpoint": endpoint.name,
                "merit.price_list": target.price_list,
                "merit.price_version": target.price_version,
                "merit.expected_cost_usd": usd(bid.cost),
            })  # fmt: skip

    def set_aside(self) -> Span | None:
        """The attempt's span, whose attempt goes on beside another one."""
        span, self._attempt = self._attempt, None
        return span

    def take_up(self, span: object) -> None:
        """What was set aside is the attempt that the next words are of."""
        self._attempt = span if isinstance(span, Span) else None

    def headers(self) -> Mapping[str, str]:
        """What tells the provider of the attempt that is under way."""
        carrier: dict[str, str] = {}
        if self._attempt is not None:
            _propagator.inject(carrier, set_span_in_context(self._attempt))
        return carrier

    def failed(self, outcome: str, status: int) -> None:
        """The attempt gave nothing. `status`: the provider's, 0 where there was none."""
        span, self._attempt = self._attempt, None
        if span is not None:
            if status:
                span.set_attribute("http.response.status_code", status)
            span.set_attribute("error.type", outcome)
            span.set_status(Status(StatusCode.ERROR))
            span.end()

    def answered(self, *, stream: bool) -> None:
        """The attempt gave an answer; a stream goes on until the request's end."""
        if not stream:
            self._end_attempt()

    def end(self, line: UsageLine, call: Call | None) -> None:
        """The request is over, and this is its account."""
        if self._attempt is not None and line.error:
            self._attempt.set_attribute("error.type", line.error)
            self._attempt.set_status(Status(StatusCode.ERROR))
        self._end_attempt()
        span = self._span
        if span.is_recording():
            if line.route and call is not None:  # a name that nobody serves is the client's own invention
                span.update_name(f"{self._operation} {call.model}")
                span.set_attribute("gen_ai.request.model", call.model)
            if call is not None:
                span.set_attribute("gen_ai.request.stream", call.stream)
            span.set_attributes(_account(line))
            if line.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _end_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.end()
            self._attempt = None


_SAID = {
    "error": "error.type",
    "model": "gen_ai.response.model",
    "output_limit": "gen_ai.request.max_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "request": "merit.request_id",
    "consumer": "merit.consumer",
    "route": "merit.route",
    "tier": "merit.tier",
    "provider": "merit.provider",
    "placement": "merit.placement",
    "hedge": "merit.hedge",
    "cache": "merit.cache",
    "objectives_missed": "merit.objectives_missed",
    "service_tier": "merit.service_tier",
    "estimated": "merit.usage_estimated",
    "cost": "merit.cost_usd",
    "list_cost": "merit.list_cost_usd",
    "effective_cost": "merit.effective_cost_usd",
    "expected_cost": "merit.expected_cost_usd",
    "saved": "merit.saved_usd",
    "billed_at": "merit.billed_at",
    "price_list": "merit.price_list",
    "price_version": "merit.price_version",
    "snapshot": "merit.snapshot",
}
"""Fields of a usage line, each an attribute where it says something. Money is exact decimal USD, as text."""


def _account(line: UsageLine) -> dict[str, Value]:
    made: dict[str, Value] = {"http.response.status_code": line.status, "merit.attempts": line.attempts}
    made |= {attribute: value for field, attribute in _SAID.items() if (value := getattr(line, field))}
    if line.cost:
        made["gen_ai.usage.input_tokens"], made["gen_ai.usage.output_tokens"] = line.input_tokens, line.output_tokens
    if line.special is not None and line.special.reasoning:
        made["gen_ai.usage.reasoning.output_tokens"] = line.special.reasoning
    if line.rates is not None:
        plain = msgspec.to_builtins(line.rates)
        special = plain.pop("special", None) or {}
        made |= {f"merit.rates.{name}": value for name, value in {**plain, **special}.items()}
    for attribute, parts in (("merit.rates.excess", line.excess), ("merit.commitments", line.commitments)):
        if parts:
            made[attribute] = msgspec.json.encode(parts).decode()
    return made
