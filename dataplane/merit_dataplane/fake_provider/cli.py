"""`merit fake-provider`."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from merit_dataplane.fake_provider.app import Vendor
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.recordings import from_folder, packaged
from merit_dataplane.fake_provider.server import listening, vendor_server
from merit_dataplane.servers import start
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
    parser.add_argument("--batch-seconds", type=float, default=0.0, metavar="S", help="how long a batch takes")
    parser.add_argument("--seed", type=int, default=0, help="of jitter and failures")
    parser.add_argument(
        "--usage", choices=("counted", "recorded"), default="counted", help="whose prompt tokens usage has"
    )
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="other recordings than the packaged ones")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal. Exit code 2: the command line, or the recordings that it names, are wrong."""
    import uvloop  # noqa: PLC0415 # only a server needs it

    try:
        address, vendor = Address.parse(args.listen), _vendor(args)
    except (ValueError, OSError) as error:
        args.parser.error(str(error))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(vendor, address))
    return 0


def _vendor(args: argparse.Namespace) -> Vendor:
    """Raises ValueError, OSError."""
    keys = {key for key in args.api_key if key}
    if args.api_key_env:
        key = os.environ.get(args.api_key_env)
        if not key:  # without a key any would be accepted: not what was asked for
            raise ValueError(f"--api-key-env {args.api_key_env}: the variable is not set; set it or leave the option")
        keys.add(key)
    return Vendor(
        name=args.name,
        behaviour=Behaviour(
            latency=args.latency,
            jitter=args.jitter,
            chunk_interval=args.chunk_interval,
            failure_rate=args.failure_rate,
            batch_seconds=args.batch_seconds,
        ),
        recordings=from_folder(args.recordings) if args.recordings else packaged(),
        api_keys=frozenset(keys),
        models=tuple(stripped for name in args.models.split(",") if (stripped := name.strip())),
        counted=args.usage == "counted",
        seed=args.seed,
    )


async def _serve(vendor: Vendor, address: Address) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = listening(address)
    server = vendor_server(vendor)
    task = await start(server, listener)
    at = Address(*listener.getsockname()[:2])
    print(f"fake-provider {vendor.name} listening on http://{at}/v1", flush=True)
    await stop.wait()
    vendor.close()
    server.should_exit = True
    await task
