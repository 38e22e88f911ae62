"""The operator's metrics. Labels are bounded: outcomes, kinds, forces."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

LEADER = Gauge("merit_operator_leader", "1 while this process leads.")
TERM = Gauge("merit_operator_term", "Term of this process's leadership; 0 while it does not lead.")
COMPILE_SECONDS = Histogram("merit_operator_compile_seconds", "One compile of everything.", buckets=_SECONDS)
PUSHES = Counter("merit_operator_pushes", "Pushes to a pod, by outcome.", ("outcome",))
PUSH_SECONDS = Histogram("merit_operator_push_seconds", "One push to one pod, to its answer.", buckets=_SECONDS)
PODS = Gauge("merit_operator_pods", "Data-plane pods, by whether they serve the newest snapshot.", ("state",))
PROPAGATION_SECONDS = Histogram(
    "merit_operator_propagation_seconds",
    "From hearing of a change to the last pod's acknowledgement.",
    buckets=_SECONDS,
)
RESOURCES = Gauge("merit_operator_resources", "Resources by kind and the form that is in force.", ("kind", "force"))
SNAPSHOT = Gauge("merit_operator_snapshot_info", "The newest snapshot.", ("version",))
ERRORS = Counter("merit_operator_errors", "Errors by the step that met them.", ("step",))
