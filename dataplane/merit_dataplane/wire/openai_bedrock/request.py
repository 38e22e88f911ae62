"""A request: the bytes that go to Bedrock for one in OpenAI's format.

What `kept` does not name is not sent: Bedrock has nothing like `seed`, `logit_bias` and others.
"""

from typing import Any, Final

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_bedrock.families import is_claude, is_gpt_oss, is_nova
from merit_dataplane.wire.openai_bedrock.messages import called_tools, conversation
from merit_dataplane.wire.openai_bedrock.reasoning import reasoning
from merit_dataplane.wire.openai_bedrock.tools import schema, tools
from merit_dataplane.wire.openai_request import Call

_AS_THEY_ARE = (
    "guardrailConfig", "performanceConfig", "requestMetadata", "promptVariables", "additionalModelResponseFieldPaths",
    "projectIdentifier", "serviceTier", "outputConfig", "additionalModelRequestFields",
)  # fmt: skip
"""Bedrock's own fields."""
_KEPT: Final = frozenset(_AS_THEY_ARE) | {
    "max_completion_tokens", "max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice", "functions",
    "function_call", "response_format", "service_tier", "thinking", "anthropic_beta",
}  # fmt: skip
_TIERS = ("default", "flex", "priority")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def kept(model: str) -> frozenset[str]:
    """Parameters that are sent on to a model."""
    found = _KEPT
    if is_claude(model):
        found |= {"parallel_tool_calls"}
    if is_claude(model) or is_nova(model):
        found |= {"top_k"}
    if is_claude(model) or is_nova(model) or is_gpt_oss(model):
        found |= {"reasoning", "reasoning_effort"}
    return found


def request_body(call: Call, model: str, max_output_tokens: int) -> bytes:
    """The bytes for Bedrock. `model`: its id there; `max_output_tokens`: the price list's, 0 where it has none.

    Raises RequestError (400) that names the field which can't be said.
    """
    given = {name: _decode(raw) for name, raw in call.fields.items() if name not in ("messages", "model")}
    system, turns = conversation(_decode(call.messages))
    body: dict[str, Any] = {"messages": turns}
    if system:
        body["system"] = system
    body |= {name: given[name] for name in _AS_THEY_ARE if given.get(name) is not None}
    for name in ("additionalModelRequestFields", "outputConfig"):
        if name in body:
            an_object(body[name], name)
    _sampling(given, call, model, body)
    tools(given, called_tools(turns), model, body)
    schema(given, model, body)
    reasoning(given, model, max_output_tokens, body)
    if given.get("service_tier") in _TIERS:
        body.setdefault("serviceTier", {"type": given["service_tier"]})
    return _encode(body)


def _sampling(given: dict[str, Any], call: Call, model: str, body: dict[str, Any]) -> None:
    config: dict[str, Any] = {}
    if call.output_limit:
        config["maxTokens"] = call.output_limit
    temperature = given.get("temperature")
    if temperature is not None:
        if not isinstance(temperature, int | float):
            raise invalid("temperature", "must be a number")
        config["temperature"] = min(temperature, 1)  # the end of Bedrock's scale
    if given.get("top_p") is not None:
        config["topP"] = given["top_p"]
    stop = given.get("stop")
    if stop:
        wanted = [stop] if isinstance(stop, str) else a_list(stop, "stop")
        sequences = [s for s in wanted if a_string(s, "stop").strip()]
        if sequences:
            config["stopSequences"] = sequences
    if config:
        body["inferenceConfig"] = config
    fields = {name: given[name] for name in ("thinking", "anthropic_beta") if given.get(name) is not None}
    if given.get("top_k") is not None:
        if is_nova(model):
            fields["inferenceConfig"] = {"topK": given["top_k"]}
        elif is_claude(model):
            fields["top_k"] = given["top_k"]
    if fields:
        body["additionalModelRequestFields"] = {**fields, **body.get("additionalModelRequestFields", {})}
