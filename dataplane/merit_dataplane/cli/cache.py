"""`merit cache purge`: what was kept of a route, a consumer or a tag is served no more."""

import argparse
import sys
from pathlib import Path

import httpx


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    commands = parser.add_subparsers(dest="of_cache", required=True, metavar="COMMAND")
    words = "end what was kept of a route, a consumer or a tag"
    purge = commands.add_parser("purge", help=words, description=words[0].upper() + words[1:] + ".")
    for kind in ("route", "consumer"):
        purge.add_argument(f"--{kind}", action="append", default=[], metavar="NAMESPACE/NAME", help="repeatable")
    purge.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="of the header x-merit-cache-tags; repeatable"
    )
    purge.add_argument(
        "--admin",
        default="http://127.0.0.1:8081",
        metavar="URL",
        help="a pod's admin port, default that of this machine",
    )
    purge.add_argument("--token-file", type=Path, metavar="FILE", help="the push token, where pods are pushed to")
    purge.add_argument("--ca", metavar="FILE", help="who signed the admin port's certificate")
    purge.set_defaults(parser=purge)


def run(args: argparse.Namespace) -> int:
    """0 when it is ended in all pods that share a Redis with this one; 1 when in none or in this one alone."""
    asked = {"routes": args.route, "consumers": args.consumer, "tags": args.tag}
    if not any(asked.values()):
        args.parser.error("name what to purge: --route, --consumer or --tag")
    headers = {}
    if args.token_file is not None:
        headers["authorization"] = f"Bearer {args.token_file.read_text(encoding='utf-8').strip()}"
    try:
        with httpx.Client(verify=args.ca or True, timeout=10) as http:
            answer = http.post(f"{args.admin}/cache/purge", json=asked, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"merit cache purge: {args.admin}: {error}", file=sys.stderr)
        return 1
    if answer.status_code != 200:
        print(f"merit cache purge: {args.admin} answered {answer.status_code}: {answer.text.strip()}", file=sys.stderr)
        return 1
    if not answer.json()["everywhere"]:
        print("purged in this pod alone: it shares no Redis with others, or that is away")
        return 1
    print("purged in all pods")
    return 0
