"""`merit fake-provider`."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from merit_dataplane.fake_provider.app import Vendor
from merit_dataplane.fake_provider.behaviour import Behaviour, InvalidBehaviourError
from merit_dataplane.fake_provider.recordings import from_folder, packaged
from merit_dataplane.fake_provider.server import vendor_server
from merit_dataplane.servers import bind, start
from merit_dataplane.settings import Address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--listen", default="127.0.0.1:9101", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--name", default="fake", help="its name, in GET /v1/models")
    parser.add_argument(
        "--api-key", action="append", default=[], metavar="KEY", help="accepted key (repeatable); any without"
    )
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="an accepted key, from the environment")
    parser.add_argument("--models", default="", metavar="A,B", help="known models; any without")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds to the first byte")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="S", help="at most this many seconds more")
    parser.add_argument(
        "--chunk-interval", type=float, default=0.0, metavar="S", help="seconds between two events of a stream"
    )
    parser.add_argument(
        "--failure-rate", type=float, default=0.0, metavar="0..1", help="share of requests answered with 500"
    )
    parser.add_argument("--seed", type=int, default=0, help="of jitter and failures")
    parser.add_argument(
        "--usage", choices=("counted", "recorded"), default="counted", help="whose prompt tokens usage has"
    )
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="other recordings than the packaged ones")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal."""
    try:
        address = Address.parse(args.listen)
        behaviour = Behaviour(
            latency=args.latency,
            jitter=args.jitter,
            chunk_interval=args.chunk_interval,
            failure_rate=args.failure_rate,
        )
    except (ValueError, InvalidBehaviourError) as error:
        args.parser.error(str(error))
    keys = [*args.api_key, *([os.environ.get(args.api_key_env, "")] if args.api_key_env else [])]
    asyncio.run(_serve(args, address, behaviour, frozenset(key for key in keys if key)))
    return 0


async def _serve(args: argparse.Namespace, address: Address, behaviour: Behaviour, keys: frozenset[str]) -> None:
    vendor = Vendor(
        name=args.name,
        behaviour=behaviour,
        recordings=from_folder(args.recordings) if args.recordings else packaged(),
        api_keys=keys,
        models=tuple(m for m in args.models.split(",") if m),
        counted=args.usage == "counted",
        seed=args.seed,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = bind(address)
    server = vendor_server(vendor)
    task = await start(server, listener)
    host, port = listener.getsockname()[:2]
    print(f"fake-provider {args.name} listening on http://{host}:{port}/v1", flush=True)
    await stop.wait()
    vendor.closing.set()
    server.should_exit = True
    await task
