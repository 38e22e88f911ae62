"""`--otlp-endpoint`, and OpenTelemetry's environment variables that say the same."""

import argparse
import os
from importlib.util import find_spec
from urllib.parse import urlsplit

_PATH = "/v1/traces"
_OF_ALL, _OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help="OpenTelemetry collector that takes spans over OTLP/HTTP, such as http://collector:4318; "
        f"default ${_OF_ALL}",
    )


def traces_url(args: argparse.Namespace) -> str:
    """The URL that takes traces; empty where there is none. Ends the program where it can't be used."""
    given, name = _given(args.otlp_endpoint)
    if not given or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    try:
        parts = urlsplit(given)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        shown = f" (is {given!r})" if "@" not in given else ""  # else it may hold a password
        args.parser.error(f"{name} must be an http:// or https:// URL, such as http://collector:4318{shown}")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        args.parser.error(f"{name} needs the extra `otlp`: pip install 'merit-gateway[otlp]'")
    return given


def _given(flag: str | None) -> tuple[str, str]:
    """The full URL, and who says so: the flag, then the variable for traces alone, then that for all."""
    if flag is not None:
        return flag.rstrip("/") + _PATH if flag else "", "--otlp-endpoint"
    if url := os.environ.get(_OF_TRACES, ""):
        return url, _OF_TRACES
    url = os.environ.get(_OF_ALL, "")
    return url.rstrip("/") + _PATH if url else "", _OF_ALL
