"""`merit explain --route R < request.json`: the merit order, without calling anyone."""

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path

from merit_crds.compile import compile_resources
from merit_dataplane.dispatch.legs import legs
from merit_dataplane.explanation import explanation, table
from merit_dataplane.live import Live
from merit_dataplane.snapshots.folder import complaints, load
from merit_dataplane.snapshots.tables import Builder, ConsumerPlan, RoutePlan, Tables
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call, Operation, parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--route", required=True, metavar="ROUTE", help="NAME, NAMESPACE/NAME, or a model name that clients ask for"
    )
    parser.add_argument(
        "--resources", type=Path, default=Path(), metavar="DIR", help="folder of resource YAML, default the current one"
    )
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets as files: DIR/[NAMESPACE/]NAME/KEY")
    parser.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a request header (repeatable)"
    )
    parser.add_argument(
        "--at", type=_instant, metavar="INSTANT", help="at which prices hold, e.g. 2026-12-01T00:00:00Z, default now"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints each candidate's expected cost, and why it lost. 1 when there is no such route or no valid request."""
    loaded = load([args.resources], args.secrets)
    compiled = compile_resources(loaded.resources)
    for line in complaints(loaded, compiled):
        print(line, file=sys.stderr)
    tables = Builder(compiled.version, compiled.snapshot, compiled.credentials, Live()).build()
    route = _route(tables, args.route)
    if route is None:
        print(
            f"merit explain: there is no usable route {args.route!r}; there are: {', '.join(tables.routes) or 'none'}",
            file=sys.stderr,
        )
        return 1
    headers = tuple(
        (n.strip().lower().encode(), v.strip().encode()) for n, _, v in (h.partition(":") for h in args.header)
    )
    try:
        call = parse(Operation.CHAT, _with_model(sys.stdin.buffer.read(), route))
        chain = legs(_anybody(tables, route, call), call)
    except RequestError as error:
        print(f"merit explain: {error}", file=sys.stderr)
        return 1
    document = explanation(chain, headers, now=0.0, wall=time.time() if args.at is None else args.at)
    print(json.dumps(document, indent=2) if args.json else table(document))
    return 0


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("needs an offset, or Z for UTC")
    return moment.timestamp()


def _route(tables: Tables, wanted: str) -> RoutePlan | None:
    for key, route in tables.routes.items():
        if wanted in (key, route.name) or wanted in route.models:
            return route
    return None


def _with_model(body: bytes, route: RoutePlan) -> bytes:
    """A request may leave its model out: the route is named."""
    try:
        request = json.loads(body)
    except ValueError:
        return body
    return json.dumps({"model": route.models[0], **request}).encode() if isinstance(request, dict) else body


def _anybody(tables: Tables, route: RoutePlan, call: Call) -> ConsumerPlan:
    """Who may call every route of the namespace; whatever model the request names, it is for the named route."""
    namespace = route.key.split("/", 1)[0] + "/"
    routes = {model: plan for plan in tables.routes.values() if plan.key.startswith(namespace) for model in plan.models}
    routes |= dict.fromkeys(route.models, route)
    if not {call.model, call.model.rpartition(":")[0]} & set(route.models):
        routes[call.model] = route
    return ConsumerPlan(key="", routes=routes, account=None, cache_scope=())
