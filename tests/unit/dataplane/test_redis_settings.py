"""URLs of Redis: what they mean, what is refused and in which words."""

import argparse
import subprocess
from pathlib import Path

import pytest

from merit_dataplane.cli import redis_options, serve
from merit_dataplane.redis_settings import Credentials, RedisAddress, RedisSettings, password_of
from tests.support.merit_process import MERIT


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", RedisAddress("Single", (("cache", 6379),))),
        ("redis://merit@cache:7000/3", RedisAddress("Single", (("cache", 7000),), database=3, username="merit")),
        ("rediss://[::1]:6380/0", RedisAddress("Single", (("::1", 6380),), tls=True)),
        ("unix:///run/redis.sock?db=2", RedisAddress("Socket", path="/run/redis.sock", database=2)),
        (
            "redis+sentinel://a,b:1/main/4",
            RedisAddress("Sentinel", (("a", 26379), ("b", 1)), master="main", database=4),
        ),
        ("rediss+cluster://a,b:7001", RedisAddress("Cluster", (("a", 6379), ("b", 7001)), tls=True)),
    ],
)
def test_a_url(url: str, address: RedisAddress) -> None:
    assert RedisAddress.parse(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be a Redis URL, such as redis://"),
        ("http://cache", "must be a Redis URL"),
        ("cache:6379", "must be a Redis URL"),
        ("redis://", "must name HOST or HOST:PORT"),
        ("redis://cache:port", "must name HOST or HOST:PORT"),
        ("redis://cache:70000", "must name HOST or HOST:PORT"),
        ("redis://a,b", "several are redis+sentinel:// or redis+cluster://"),
        ("redis://cache/main", "the database's number, such as /0"),
        ("redis+sentinel://a:26379", "must name the master"),
        ("redis+cluster://a/1", "a Cluster has only 0"),
        ("unix://run/redis.sock", "three slashes"),
        ("redis://:canary-pass@cache", "must hold no password"),
        ("redis://merit:canary-pass@cache", "--redis-password-file or MERIT_REDIS_PASSWORD"),
    ],
)
def test_what_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        RedisAddress.parse(url)
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


def settings(*arguments: str) -> RedisSettings | None:
    """What `merit serve` makes of its arguments."""
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return redis_options.settings(parser.parse_args(["folder", *arguments]))


def test_there_is_none_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERIT_REDIS_URL", raising=False)
    assert settings() is None


def test_everything_can_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERIT_REDIS_URL", "redis://merit@cache/1")
    monkeypatch.setenv("MERIT_REDIS_PASSWORD", "canary-of-the-environment")
    made = settings("--redis-budget-ms", "2.5", "--redis-prefix", "stage")
    assert made is not None
    assert (made.address.database, made.prefix, made.budget_seconds) == (1, "stage", 0.0025)
    assert made.credentials.read() == ("merit", "canary-of-the-environment")
    assert "canary" not in repr(made)
    file = tmp_path / "password"
    file.write_text("of-the-file\n", encoding="utf-8")
    made = settings("--redis-password-file", str(file))
    assert made is not None
    assert made.credentials.read() == ("merit", "of-the-file")


def test_a_password_file_that_is_not_there_is_no_password(tmp_path: Path) -> None:
    assert password_of("MERIT_NONE", tmp_path / "none") == Credentials(password_file=tmp_path / "none")
    assert password_of("MERIT_NONE", tmp_path / "none").read() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--redis-url", "redis://:canary@x"], "argument --redis-url: must hold no password"),
        (["--redis-url", "redis://x", "--redis-budget-ms", "0"], "a number of milliseconds above 0"),
        (["--redis-url", "redis://x", "--redis-prefix", "{a}"], "without braces"),
        (["--redis-url", "redis://x", "--redis-ca", "/none"], "--redis-ca: /none is no file"),
        (["--redis-url", "redis://x", "--redis-cert", "/none"], "--redis-cert and --redis-key belong together"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [MERIT, "serve", str(tmp_path), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "canary" not in done.stderr
