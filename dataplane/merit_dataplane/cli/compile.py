"""`merit compile PATH…`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from merit_crds.compile import ResourceStatus, compile_resources
from merit_crds.pricing import usd
from merit_dataplane.snapshots.folder import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, and folders of them")
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets as files: DIR/[NAMESPACE/]NAME/KEY")
    parser.add_argument(
        "--output", choices=("all", "snapshot", "version"), default="all", help="what to print, default all"
    )


def run(args: argparse.Namespace) -> int:
    """Prints JSON: version, snapshot, and the status of each resource. 1 when a file can't be read as resources."""
    loaded = load(args.paths, args.secrets)
    compiled = compile_resources(loaded.resources)
    for fault in loaded.faults:
        print(fault, file=sys.stderr)
    if args.output == "version":
        print(compiled.version)
    elif args.output == "snapshot":
        sys.stdout.flush()
        sys.stdout.buffer.write(compiled.body + b"\n")
    else:
        document = {
            "version": compiled.version,
            "snapshot": json.loads(compiled.body),
            "resources": [_status(status) for status in compiled.statuses.values()],
        }
        print(json.dumps(document, indent=2))
    return 1 if loaded.faults else 0


def _status(status: ResourceStatus) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": status.id.kind,
        "namespace": status.id.namespace,
        "name": status.id.name,
        "inForce": status.force.value,
        "conditions": [
            {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message}
            for c in (status.accepted, status.resolved_refs)
        ],
    }
    if status.merit_order:
        shown["meritOrder"] = [
            {"tier": r.tier, "provider": r.provider, "model": r.model, "costUSD": usd(r.cost)}
            for r in status.merit_order
        ]
    return shown
