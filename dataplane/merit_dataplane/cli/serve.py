"""`merit serve DIR` and `merit serve --from-operator`."""

import argparse
import asyncio
import gc
import logging
import os
import sys
from pathlib import Path

from merit_dataplane.cli import otlp_options, redis_options
from merit_dataplane.settings import Address, Settings

_GC_YOUNG = 20_000
"""Objects between two collections: a request makes hundreds, nearly all of them freed by reference counting."""

_SHORTEST_KEY = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="folder of resource YAML (standalone)")
    parser.add_argument("--from-operator", action="store_true", help="take snapshots from the operator's push instead")
    parser.add_argument("--listen", type=_address, default=Address("127.0.0.1", 8080), metavar="HOST:PORT")
    parser.add_argument("--admin-listen", type=_address, default=Address("127.0.0.1", 8081), metavar="HOST:PORT")
    parser.add_argument(
        "--watch", action=argparse.BooleanOptionalAction, default=True, help="reload when the folder changes"
    )
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets as files: DIR/[NAMESPACE/]NAME/KEY")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the push token (with --from-operator)")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="keeps the last good snapshot over a restart")
    parser.add_argument(
        "--last-good-dir", type=Path, metavar="DIR", help="where the cluster's last good copy is mounted"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate of the admin port")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key")
    parser.add_argument(
        "--drain-seconds", type=float, default=5.0, metavar="S", help="from SIGTERM to refusing connections"
    )
    parser.add_argument(
        "--grace-seconds", type=float, default=120.0, metavar="S", help="then, for open requests to end"
    )
    parser.add_argument(
        "--usage-log",
        default="-",
        metavar="PLACE",
        help="one JSON line per request: `-` to standard output (default), a folder, or `off`",
    )
    parser.add_argument(
        "--usage-log-file", type=_mebibytes, default=64, metavar="MIB", help="a file is complete at this size"
    )
    parser.add_argument(
        "--usage-log-seconds", type=float, default=3600.0, metavar="S", help="or when it has been open for so long"
    )
    parser.add_argument(
        "--usage-log-keep", type=_mebibytes, default=1024, metavar="MIB", help="the oldest files go beyond this"
    )
    parser.add_argument(
        "--max-body", type=_mebibytes, default=50, metavar="MIB", help="longest request body, default 50"
    )
    parser.add_argument(
        "--body-memory",
        type=_mebibytes,
        default=192,
        metavar="MIB",
        help="most bytes of request bodies held at once, default 192; beyond that requests get 503",
    )
    parser.add_argument(
        "--cache", type=_mebibytes, default=64, metavar="MIB", help="size of the exact cache, default 64"
    )
    parser.add_argument(
        "--cache-key-file",
        type=Path,
        metavar="FILE",
        help="encrypts answers in Redis; the same 16 bytes or more in all pods, else they are authenticated only",
    )
    parser.add_argument(
        "--ambient-credentials",
        action="append",
        metavar="NAMESPACE",
        help="whose Providers may use this pod's own identity at a cloud (repeatable, * for all); default all of a "
        "folder's, none of an operator's",
    )
    otlp_options.add_arguments(parser)
    redis_options.add_arguments(parser)
    parser.set_defaults(parser=parser)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _mebibytes(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of MiB (is {text!r})")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal."""
    if (args.folder is None) == (not args.from_operator):
        args.parser.error("give either DIR or --from-operator")
    if args.from_operator and args.token_file is None:
        args.parser.error("--from-operator needs --token-file: without a token no push is accepted")
    if (args.tls_cert is None) != (args.tls_key is None):
        args.parser.error("--tls-cert and --tls-key belong together")
    if args.folder is not None and not args.folder.is_dir():
        args.parser.error(f"{args.folder} is no folder")
    if not args.usage_log_file or args.usage_log_seconds <= 0:
        args.parser.error("--usage-log-file and --usage-log-seconds must be above 0")
    if args.cache_key_file is not None and len(args.cache_key_file.read_bytes().strip()) < _SHORTEST_KEY:
        args.parser.error(f"--cache-key-file: {args.cache_key_file} has less than {_SHORTEST_KEY} bytes")
    if args.secrets is not None and not args.secrets.is_dir():
        args.parser.error(f"{args.secrets} is no folder")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    settings = Settings(
        listen=args.listen,
        admin_listen=args.admin_listen,
        folder=args.folder,
        secrets_folder=args.secrets,
        watch=args.watch,
        token_file=args.token_file,
        state_dir=args.state_dir,
        last_good_dir=args.last_good_dir,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        drain_seconds=args.drain_seconds,
        grace_seconds=args.grace_seconds,
        usage_log=None if args.usage_log == "off" else Path(args.usage_log),
        usage_log_file_bytes=args.usage_log_file * 1024 * 1024,
        usage_log_file_seconds=args.usage_log_seconds,
        usage_log_keep_bytes=args.usage_log_keep * 1024 * 1024,
        max_body_bytes=args.max_body * 1024 * 1024,
        body_memory_bytes=args.body_memory * 1024 * 1024,
        cache_bytes=args.cache * 1024 * 1024,
        cache_key_file=args.cache_key_file,
        ambient_namespaces=tuple(args.ambient_credentials or (() if args.from_operator else ("*",))),
        pod=os.environ.get("POD_NAME", ""),
        traces_url=otlp_options.traces_url(args),
        redis=redis_options.settings(args),
    )
    _run_loop(settings)
    return 0


def _run_loop(settings: Settings) -> None:
    import uvloop  # noqa: PLC0415 # only a server needs these, not --help

    from merit_dataplane.serve import run as serve  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(_GC_YOUNG, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
