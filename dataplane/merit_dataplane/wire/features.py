"""Features that a request can use and a model can have, as bits: admissibility is one `and`."""

from collections.abc import Iterable
from enum import IntFlag
from functools import cache


class Feature(IntFlag):
    """Names are those of a ProviderPricing's capabilities, but for COMPLETIONS, CHOICES and ANTHROPIC_…."""

    STREAMING = 1
    TOOLS = 2
    PARALLEL_TOOLS = 4
    JSON_OBJECT = 8
    JSON_SCHEMA = 16
    IMAGES = 32
    AUDIO = 64
    LOGPROBS = 128
    EMBEDDINGS = 256
    COMPLETIONS = 512
    CHOICES = 1024
    ANTHROPIC_ONLY = 2048
    """These three are a protocol's, not a model's: no price list names them."""
    RESPONSES = 4096
    """Used by requests that no chat completion can say."""
    ASSISTANT_PREFIX = 8192
    """No request uses it: Merit does, when a stream breaks off."""
    MODERATION = 16384
    IMAGE_GENERATION = 32768
    IMAGE_EDITS = 65536
    IMAGE_VARIATIONS = 131072
    SPEECH = 262144
    TRANSCRIPTION = 524288
    TRANSLATION = 1048576
    """These seven are each used by all requests to one endpoint, and by no other."""
    BATCHES = 2097152
    """Used by the lines of a batch."""
    FILES = 4194304
    """Used by files that are no batch's."""
    ANTHROPIC_API = 8388608
    """What of the protocol only Anthropic's own API has, and no cloud that serves its models."""


MEDIA = 32 | 64
"""Images and sounds, as a plain int."""
ENDPOINTS = 0b111111111 << 14
"""Those that stand for endpoints which a translation does not have, as a plain int."""
TOKENS_PER_MEDIUM = 1_000
"""What an image or a sound counts for: about a large picture at OpenAI, half a minute of speech."""
BY_NAME = {
    "Streaming": Feature.STREAMING,
    "Tools": Feature.TOOLS,
    "ParallelTools": Feature.PARALLEL_TOOLS,
    "JsonObject": Feature.JSON_OBJECT,
    "JsonSchema": Feature.JSON_SCHEMA,
    "Images": Feature.IMAGES,
    "Audio": Feature.AUDIO,
    "Logprobs": Feature.LOGPROBS,
    "Embeddings": Feature.EMBEDDINGS,
    "Responses": Feature.RESPONSES,
    "AssistantPrefix": Feature.ASSISTANT_PREFIX,
    "Moderation": Feature.MODERATION,
    "ImageGeneration": Feature.IMAGE_GENERATION,
    "ImageEdits": Feature.IMAGE_EDITS,
    "ImageVariations": Feature.IMAGE_VARIATIONS,
    "Speech": Feature.SPEECH,
    "Transcription": Feature.TRANSCRIPTION,
    "Translation": Feature.TRANSLATION,
    "Batches": Feature.BATCHES,
    "Files": Feature.FILES,
}


def mask(names: Iterable[str]) -> int:
    """Bits of the named features; a plain int, since IntFlag arithmetic is slow."""
    bits = 0
    for name in names:
        bits |= int(BY_NAME[name])
    return bits


@cache
def listed(bits: int) -> list[str]:
    """Names of the bits. Not to be changed: all who ask get the same list."""
    return [name for name, bit in BY_NAME.items() if bits & bit]


def names(bits: int) -> str:
    """Names of the bits, for people: `Tools, Images`."""
    of_protocols = {
        "Completions": Feature.COMPLETIONS,
        "Choices": Feature.CHOICES,
        "what only Anthropic's own API has": Feature.ANTHROPIC_API,
        "what only the protocol Anthropic has": Feature.ANTHROPIC_ONLY,
    }
    return ", ".join(listed(bits) + [name for name, bit in of_protocols.items() if bits & bit])
