"""The list of what of the SDKs' suites doesn't get through Merit can't hide anything."""

import pytest

from tests.sdk.scope import Scope, call

ID = "tests.api_resources.chat.test_completions.TestAsyncCompletions::test_{}[loose]"
SCOPE = Scope(("chat/test_completions.py",), {}, {"chat/test_completions.py::delete": "nothing is stored"})
FINE = {ID.format("method_create"): "passed", ID.format("raw_response_delete"): "openai.NotFoundError"}


def test_a_call_is_named_whichever_way_its_answer_is_read() -> None:
    ways = {call(ID.format(f"{way}_create_overload_1")) for way in ("method", "raw_response", "streaming_response")}
    assert ways == {"chat/test_completions.py::create_overload_1"}
    assert call(ID.format("path_params_delete")) == "chat/test_completions.py::test_path_params_delete"


def test_what_is_as_it_should_be_is_no_fault() -> None:
    assert SCOPE.faults(FINE) == SCOPE.faults(FINE, dict.fromkeys(FINE, "passed")) == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"method_create": "openai.InternalServerError"}, "openai.InternalServerError"),
        ({"raw_response_delete": "passed"}, "passes, and is excluded: nothing is stored"),
    ],
)
def test_a_test_that_fails_or_an_exclusion_that_is_not_needed_is_one(change: dict[str, str], fault: str) -> None:
    changed = {ID.format(name): outcome for name, outcome in change.items()}
    assert SCOPE.faults(FINE | changed) == dict.fromkeys(changed, fault)


def test_an_exclusion_of_nothing_is_one() -> None:
    wider = Scope(SCOPE.served, {}, {**SCOPE.excluded, "test_models.py::*": "?"})
    assert wider.faults(FINE) == {"test_models.py::*": "no test has this name"}


def test_what_fails_without_merit_says_nothing_of_it_and_what_passes_has_to_run() -> None:
    test = ID.format("method_create")
    assert SCOPE.faults({**FINE, test: "failed"}, {**FINE, test: "failed"}) == {}
    assert SCOPE.faults({**FINE, test: "skipped"}, {**FINE, test: "passed"}) == {test: "skipped"}
    missing = {name: outcome for name, outcome in FINE.items() if name != test}
    assert SCOPE.faults(missing, FINE) == {test: "did not run"}
