"""How a client steers one request, in OpenRouter's words: `models`, `provider`, and the suffixes of a model's name."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from merit_crds.snapshot import PriceCeilings
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import TOKENS_PER_MEDIUM

Sort = Literal["price", "throughput", "latency"]
SUFFIXES: dict[str, Sort] = {"floor": "price", "nitro": "throughput"}
_DEAREST = 10**9
_PER_TOKEN, _PER_CALL = 10**6, 10**12
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=64)]
_Speed = Annotated[float, msgspec.Meta(gt=0)]
_PERCENTILES = ("p50", "p75", "p90", "p99")


class Steering(msgspec.Struct, frozen=True):
    """What a client asks for beside its model. Providers are named as their resources are, in lower case."""

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    sort: Sort | None = None
    ceilings: PriceCeilings | None = None
    max_latency: tuple[tuple[int, float], ...] = ()
    """Percentiles, and seconds that each should be within."""
    min_throughput: tuple[tuple[int, float], ...] = ()
    """Percentiles, and output tokens per second that each should reach."""


class _Percentiles(msgspec.Struct, forbid_unknown_fields=True):
    p50: _Speed | None = None
    p75: _Speed | None = None
    p90: _Speed | None = None
    p99: _Speed | None = None


class _SortBy(msgspec.Struct, forbid_unknown_fields=True):
    by: Sort
    partition: Literal["model"] | None = None


class _MaxPrice(msgspec.Struct, forbid_unknown_fields=True):
    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None
    image: Decimal | None = None
    audio: Decimal | None = None


class _Provider(msgspec.Struct, forbid_unknown_fields=True):
    order: _Names | None = None
    only: _Names | None = None
    ignore: _Names | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    sort: Sort | _SortBy | None = None
    max_price: _MaxPrice | None = None
    preferred_max_latency: _Speed | _Percentiles | None = None
    preferred_min_throughput: _Speed | _Percentiles | None = None
    data_collection: Literal["allow"] | None = None


_models = msgspec.json.Decoder(Annotated[list[_Name], msgspec.Meta(max_length=16)] | None)
_provider = msgspec.json.Decoder(_Provider | None)
_NAMES = 'send a list of Provider names, such as ["openai"]'
_PERCENTILE = 'send a number above 0, or one per percentile, such as {"p90": 2}'
_FIXES = {
    "models": 'send a list of at most 16 model names, such as ["chat", "chat-backup"]',
    "provider": 'send an object, such as {"order": ["openai"]}',
    "order": _NAMES,
    "only": _NAMES,
    "ignore": _NAMES,
    "allow_fallbacks": "send true or false",
    "require_parameters": "send true or false",
    "sort": 'send "price", "throughput" or "latency"',
    "max_price": 'send USD per million tokens, such as {"prompt": 1, "completion": 2}',
    "preferred_max_latency": _PERCENTILE,
    "preferred_min_throughput": _PERCENTILE,
    "data_collection": "leave it out: Merit does not know what a provider keeps",
}
_UNKNOWN = f"leave it out: Merit heeds {', '.join(_Provider.__struct_fields__)}"


def steered(models: bytes, provider: bytes, model: str | None) -> tuple[Steering | None, str]:
    """What a request wants, and its model: the first of those listed where it names none. Raises RequestError (400)."""
    steering = _read(models, provider)
    if not model and steering is not None and steering.models:
        model = steering.models[0]
    return steering, model or ""


def _read(models: bytes, provider: bytes) -> Steering | None:
    """From the JSON of both fields, empty where a field is absent; None where neither asks for anything.

    Raises RequestError (400) that names the field, its value and what would do.
    """
    further = _decoded(_models, models, "models") or []
    given: _Provider | None = _decoded(_provider, provider, "provider")
    if not further and given is None:
        return None
    given = given or _Provider()
    sort = given.sort.by if isinstance(given.sort, _SortBy) else given.sort
    return Steering(
        models=tuple(further),
        order=_lower(given.order),
        only=_lower(given.only),
        ignore=_lower(given.ignore),
        allow_fallbacks=given.allow_fallbacks is not False,
        require_parameters=given.require_parameters is True,
        sort=sort,
        ceilings=_ceilings(given.max_price),
        max_latency=_percentiles(given.preferred_max_latency),
        min_throughput=_percentiles(given.preferred_min_throughput),
    )


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes, field: str) -> Any:
    if not raw:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$")
        path = field + place.rstrip("`")
        if "unknown field `" in words:
            path += "." + words.split("unknown field `", 1)[1].split("`", 1)[0]
        raise _invalid(path, raw, words) from None
    except (ValueError, RecursionError):
        raise _invalid(field, b"", "it is no JSON that can be read") from None


def _invalid(path: str, raw: bytes, words: str) -> RequestError:
    """`path` is as in `provider.max_price.prompt` or `models[0]`."""
    names = path.replace("[", ".").split(".")
    fix = _FIXES.get(names[1] if names[0] == "provider" and len(names) > 1 else names[0], _UNKNOWN)
    value: Any = _plain(raw)
    for name in names[1:]:
        value = value.get(name) if isinstance(value, dict) else value
    shown = msgspec.json.encode(value).decode(errors="replace")
    shown = shown if len(shown) <= 80 else shown[:80] + "…"
    return RequestError(400, f"Invalid '{path}': {shown}: {words}. Please {fix}.", code="invalid_steering", param=path)


def _plain(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def _lower(names: list[str] | None) -> tuple[str, ...]:
    return tuple(name.lower() for name in names or ())


def _percentiles(given: float | _Percentiles | None) -> tuple[tuple[int, float], ...]:
    if given is None:
        return ()
    if isinstance(given, float):
        return ((50, given),)
    return tuple((int(p[1:]), value) for p in _PERCENTILES if (value := getattr(given, p)) is not None)


def _ceilings(given: _MaxPrice | None) -> PriceCeilings | None:
    if given is None:
        return None
    return PriceCeilings(
        input=_pico(given.prompt, "prompt", _PER_TOKEN),
        output=_pico(given.completion, "completion", _PER_TOKEN),
        request=_pico(given.request, "request", _PER_CALL),
        image_input=_pico(given.image, "image", _PER_CALL // TOKENS_PER_MEDIUM),
        audio_input=_pico(given.audio, "audio", _PER_TOKEN),
    )


def _pico(price: Decimal | None, field: str, unit: int) -> int | None:
    """Rounded down: a whole number of pico-dollars is within it exactly when it is within the price."""
    if price is None:
        return None
    if not price.is_finite() or not 0 <= price <= _DEAREST:
        path = f"provider.max_price.{field}"
        words = f"Invalid '{path}': {price}: it must be from 0 to {_DEAREST}. Please {_FIXES['max_price']}."
        raise RequestError(400, words, code="invalid_steering", param=path)
    return int(price * unit)
