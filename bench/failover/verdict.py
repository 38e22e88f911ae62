"""What Failover Bench's rules make of an observation."""

from bench.failover.faults import Fault
from bench.failover.observed import Observed

PASS, PARTIAL, SAFE, FAIL = "pass", "partial", "safe", "fail"


def verdict(fault: Fault, seen: Observed, expected: str) -> tuple[str, str]:  # noqa: PLR0911 # one for each rule
    """The verdict, and why it is no pass."""
    whole = seen.status == 200 and seen.text == expected and seen.finished and not seen.error
    if seen.broken.startswith("no end") or seen.seconds > fault.ends_within:
        return FAIL, f"took {seen.seconds:.0f} s"
    if seen.garbage:
        return FAIL, "garbage reached the caller"
    missed = [words for words, holds in fault.required.items() if not holds(seen) and (whole or "answers" not in words)]
    if missed:
        return FAIL, "; ".join(missed)
    clean = bool(seen.error) and (seen.status >= 400 or not seen.done)
    if fault.ideal_error:
        if clean and fault.ideal_error in seen.error:
            return PASS, ""
        return (PARTIAL, "a fallback answered") if whole else (SAFE, "the error lacks the provider's reason")
    if whole:
        advised = [words for words, holds in fault.advisory.items() if not holds(seen)]
        return (PARTIAL, "; ".join(advised)) if advised else (PASS, "")
    if clean:
        return SAFE, "a clean error"
    if seen.status == 200 and (seen.done or not seen.broken):
        return FAIL, "a truncated answer that looks complete"
    return FAIL, f"no clean end: {seen.broken or seen.status}"
