"""A request: the bytes that go to Gemini for one in OpenAI's format.

What is not in `KEPT` is not sent: Gemini has nothing like `logit_bias`, `parallel_tool_calls` and others.
"""

from typing import Any, Final

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_gemini.messages import conversation
from merit_dataplane.wire.openai_gemini.schema import cleaned
from merit_dataplane.wire.openai_gemini.thoughts import thinking, with_signatures
from merit_dataplane.wire.openai_gemini.tools import tools
from merit_dataplane.wire.openai_request import Call

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_AS_THEY_ARE = {
    "safety_settings": "safetySettings",
    "safetySettings": "safetySettings",
    "cached_content": "cachedContent",
    "cachedContent": "cachedContent",
    "labels": "labels",
}
"""Gemini's own fields."""
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
KEPT: Final = frozenset(_AS_THEY_ARE) | frozenset(_NUMBERS) | {
    "max_completion_tokens", "max_tokens", "stop", "n", "logprobs", "top_logprobs", "response_format", "modalities",
    "audio", "tools", "tool_choice", "functions", "function_call", "web_search_options", "reasoning",
    "reasoning_effort", "thinking_config", "thinkingConfig", "extra_body",
}  # fmt: skip
"""Parameters that are sent on, and where the endpoint knows it `service_tier`."""
_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}


def request_body(call: Call, model: msgspec.Raw, *, says_tier: bool) -> bytes:
    """The bytes for Gemini. `model`: JSON string; `says_tier`: whether the endpoint knows the field `serviceTier`.

    Raises RequestError (400) that names the field which can't be said.
    """
    given = {name: _decode(raw) for name, raw in call.fields.items() if name not in ("messages", "model")}
    name = str(_decode(model))
    system, contents = conversation(_decode(call.messages))
    with_signatures(contents, name)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    googles = _googles(given)
    for field, theirs in _AS_THEY_ARE.items():
        value = googles.get(field, given.get(field))
        if value is not None:
            body[theirs] = value
    tools(given, body)
    config = _config(given, call)
    if (thought := _thinking(given, googles, name)) is not None:
        config["thinkingConfig"] = thought
    if config:
        body["generationConfig"] = config
    if says_tier and given.get("service_tier") in _TIERS:
        body["serviceTier"] = _TIERS[given["service_tier"]]
    return _encode(body)


def _googles(given: dict[str, Any]) -> dict[str, Any]:
    """`extra_body.google`, where clients of Google's own OpenAI endpoint put what is Gemini's."""
    match given.get("extra_body"):
        case {"google": dict(googles)}:
            return googles
    return {}


def _config(given: dict[str, Any], call: Call) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, theirs in _NUMBERS.items():
        value = given.get(name)
        if value is not None:
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise invalid(name, "must be a number")
            config[theirs] = value
    if call.output_limit:
        config["maxOutputTokens"] = call.output_limit
    if call.choices > 1:
        config["candidateCount"] = call.choices
    stop = given.get("stop")
    if stop:
        wanted = [stop] if isinstance(stop, str) else a_list(stop, "stop")
        if sequences := [s for s in wanted if a_string(s, "stop")]:
            config["stopSequences"] = sequences
    if given.get("logprobs"):
        config["responseLogprobs"] = True
        if isinstance(given.get("top_logprobs"), int):
            config["logprobs"] = given["top_logprobs"]
    _output(given, config)
    return config


def _output(given: dict[str, Any], config: dict[str, Any]) -> None:
    """Format, kinds and voice of the answer."""
    wanted = given.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        if wanted["type"] == "json_schema":
            schema = an_object(wanted.get("json_schema"), "response_format.json_schema").get("schema")
            config["responseJsonSchema"] = cleaned(an_object(schema, "response_format.json_schema.schema"))
    kinds = a_list(given.get("modalities"), "modalities")
    if kinds and kinds != ["text"]:
        config["responseModalities"] = [a_string(kind, "modalities").upper() for kind in kinds]
    voice = given.get("audio")
    if isinstance(voice, dict) and isinstance(voice.get("voice"), str):
        config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice["voice"]}}}


def _thinking(given: dict[str, Any], googles: dict[str, Any], model: str) -> Any:
    for own in ("thinking_config", "thinkingConfig"):
        if googles.get(own) is not None or given.get(own) is not None:
            return googles.get(own, given.get(own))
    try:
        return thinking(given, model)
    except ValueError as error:
        raise invalid("reasoning_effort", str(error)) from None
