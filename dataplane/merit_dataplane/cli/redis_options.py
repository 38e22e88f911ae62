"""Options of `merit serve` that say where Redis is."""

import argparse
import os
from pathlib import Path

from merit_dataplane.redis_settings import RedisAddress, RedisSettings, password_of

_PREFIX_LENGTH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    redis = parser.add_argument_group("shared state", "Redis or Valkey, for what all pods count and keep together")
    redis.add_argument(
        "--redis-url",
        type=_url,
        default=os.environ.get("MERIT_REDIS_URL") or None,
        metavar="URL",
        help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://; or MERIT_REDIS_URL; none by default",
    )
    redis.add_argument(
        "--redis-password-file", type=Path, metavar="FILE", help="read at each connection; or MERIT_REDIS_PASSWORD"
    )
    redis.add_argument(
        "--redis-sentinel-password-file",
        type=Path,
        metavar="FILE",
        help="of the Sentinels themselves; or MERIT_REDIS_SENTINEL_PASSWORD",
    )
    redis.add_argument(
        "--redis-ca", type=Path, metavar="FILE", help="who signed its certificate; the system's by default"
    )
    redis.add_argument("--redis-cert", type=Path, metavar="FILE", help="our certificate, where it asks for one")
    redis.add_argument("--redis-key", type=Path, metavar="FILE", help="its key")
    redis.add_argument("--redis-prefix", type=_prefix, default="merit", metavar="TEXT", help="first part of all keys")
    redis.add_argument(
        "--redis-budget-ms",
        type=_budget,
        default="5",
        metavar="MS",
        help="most that one request waits for it, all its commands together, default 5",
    )


def settings(args: argparse.Namespace) -> RedisSettings | None:
    """What they say; None without a URL. Ends the command where they contradict each other."""
    if args.redis_url is None:
        return None
    if (args.redis_cert is None) != (args.redis_key is None):
        args.parser.error("--redis-cert and --redis-key belong together")
    files = ("ca", "cert", "key")
    for name, file in ((f"--redis-{n.replace('_', '-')}", getattr(args, f"redis_{n}")) for n in files):
        if file is not None and not file.is_file():
            args.parser.error(f"{name}: {file} is no file")
    return RedisSettings(
        address=args.redis_url,
        credentials=password_of("MERIT_REDIS_PASSWORD", args.redis_password_file, args.redis_url.username),
        sentinel_credentials=password_of("MERIT_REDIS_SENTINEL_PASSWORD", args.redis_sentinel_password_file),
        ca_file=args.redis_ca,
        cert_file=args.redis_cert,
        key_file=args.redis_key,
        prefix=args.redis_prefix,
        budget_seconds=args.redis_budget_ms,
    )


def _url(text: str) -> RedisAddress:
    try:
        return RedisAddress.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _prefix(text: str) -> str:
    if (
        not text
        or len(text) > _PREFIX_LENGTH
        or not text.isascii()
        or any(c in "{}" or not c.isprintable() for c in text)
    ):
        raise argparse.ArgumentTypeError(f"must be at most {_PREFIX_LENGTH} printable characters without braces")
    return text


def _budget(text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0
    if not 0 < milliseconds <= 1000:
        raise argparse.ArgumentTypeError(f"must be a number of milliseconds above 0, at most 1000 (is {text!r})")
    return milliseconds / 1000
