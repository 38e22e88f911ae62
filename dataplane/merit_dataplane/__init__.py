"""The data plane: turns requests into answers. It knows the snapshot, and nothing of Kubernetes or the operator.

One request's path, top to bottom, is `request_path.py`. Its stages live in folders that never call back into an
earlier one:

    wire        bytes of a protocol to what Merit needs to know, and back
    caching     answers that may be served again
    dispatch    tier, admissible candidates, merit order: pure
    resilience  what is known of each endpoint's health; limits of time
    upstream    one try of one endpoint
    metering    tokens and money, expected and real
    observability  metrics and the usage log

`snapshots` holds the snapshot in force and where it comes from (the operator's push, a folder, the last good copy).
`admin` is the other port: push, health, metrics.
"""
