"""`merit-operator`: the control plane's command line.

Exit codes: 0 stopped by a signal; 1 failed; 2 the command line is wrong.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from merit_crds import __version__
from merit_operator import json_log
from merit_operator.run import run
from merit_operator.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="merit-operator", description="Merit's control plane.")
    parser.add_argument("--version", action="version", version=f"merit-operator {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="watch, compile, push, write status", description="Run the operator.")
    _add_arguments(command)
    args = parser.parse_args(arguments)
    settings = _settings(command, args)
    json_log.configure(args.log_level)
    try:
        return asyncio.run(run(settings))
    except OSError as error:
        print(f"merit-operator: {error}", file=sys.stderr)
        return 1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument(
        "--namespace", action="append", default=[], metavar="NS", help="watch this namespace (repeatable)"
    )
    scope.add_argument("--all-namespaces", action="store_true", help="watch the whole cluster")
    parser.add_argument(
        "--pod-namespace", default=os.environ.get("POD_NAMESPACE"), metavar="NS", help="default $POD_NAMESPACE"
    )
    parser.add_argument("--service", default="merit-dataplane-admin", help="the data plane's admin Service")
    parser.add_argument("--admin-port", type=int, default=8081, metavar="PORT", help="its pods' admin port")
    parser.add_argument("--token-file", type=Path, required=True, metavar="FILE", help="the push token")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="CA of the admin ports; plain HTTP without")
    parser.add_argument("--lease-name", default="merit-operator", help="the Lease of the leader election")
    parser.add_argument("--last-good-prefix", default="merit", metavar="NAME", help="NAME-last-good-0 … keep the copy")
    parser.add_argument("--listen", default="0.0.0.0:8082", metavar="HOST:PORT", help="health and metrics")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="outside of a cluster")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def _settings(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Settings:
    if not args.pod_namespace:
        parser.error("--pod-namespace is needed: $POD_NAMESPACE is not set")
    host, colon, port = args.listen.rpartition(":")
    if not colon or not port.isdigit():
        parser.error(f"--listen: must be HOST:PORT, such as 0.0.0.0:8082 (is {args.listen!r})")
    for flag, file in (("--token-file", args.token_file), ("--tls-ca", args.tls_ca)):
        if file is not None and not file.is_file():
            parser.error(f"{flag}: {file} does not exist")
    return Settings(
        namespaces=tuple(args.namespace),
        pod_namespace=args.pod_namespace,
        identity=os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        service=args.service,
        admin_port=args.admin_port,
        token_file=args.token_file,
        tls_ca=args.tls_ca,
        lease_name=args.lease_name,
        last_good_prefix=args.last_good_prefix,
        listen_host=host,
        listen_port=int(port),
        kubeconfig=args.kubeconfig,
    )
