"""POST /v1/feedback: who may score what, and what a score does."""

import time
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import pytest

from merit_crds.usage_line import UsageLine
from merit_dataplane.snapshots.tables import Target
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, CONSUMER_KEY, candidate, prices, provider, route, route_of
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
OTHER_KEY = "merit-test-consumer-key-0002"
OTHER = f"""
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: others}}
spec: {{apiKeys: [{{name: other-keys, key: key}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: other-keys}}
stringData: {{key: {OTHER_KEY}}}
"""
ID = "x-merit-request-id"


def floor(vendors: Vendors, *, extra: str = "", more: str = "", cheap: str = "0.92") -> tuple[str, ...]:
    """`cheap` states little more than the floor of 0.9, `middle` much more."""
    who = f"{candidate('cheap', accuracy=cheap)}, {candidate('middle', accuracy='0.99')}"
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9"{more}}}}}]'
    return vendors.resources(route_of(tiers, extra=extra))


async def ask(merit: Running, **fields: Any) -> tuple[str, str]:
    """Who answered, and the answer's id."""
    answer = await merit.post({**BODY, **fields})
    assert answer.status_code == 200
    return answer.headers["x-merit-provider"], answer.headers[ID]


async def score(merit: Running, answer: str, value: float, *, key: str = CONSUMER_KEY) -> dict[str, Any]:
    said = await merit.post({"id": answer, "score": value}, path="/v1/feedback", key=key)
    assert said.status_code == 200, said.text
    return dict(said.json())


async def bids(merit: Running) -> dict[str, dict[str, Any]]:
    order = (await merit.post(BODY, path="/v1/explain")).json()["meritOrder"]
    return {bid["provider"].split("/")[1]: bid for bid in order}


def target(merit: Running, place: int = 0) -> Target:
    assert merit.parts.holder.tables is not None
    return merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[place]


# ---- what a score does


async def test_a_candidate_that_fails_its_users_is_left_and_explain_says_why(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, extra='exploration: {share: "0"}')) as merit:
        before = (await bids(merit))["cheap"]
        assert (before["accuracy"], before["feedback"], before["standing"]) == (0.92, None, "admissible")
        scored = 0
        while (found := await ask(merit))[0] == "cheap":
            said = await score(merit, found[1], 0)
            scored += 1
            assert (said["provider"], said["tier"], said["replaced"]) == ("default/cheap", "all", False)
            assert scored < 30
        assert 2 <= scored <= 10, "nobody is left for one bad answer, nor kept for many"
        after = (await bids(merit))["cheap"]
        assert after["standing"] == "misses_objective"
        assert after["reason"].endswith(f"with 90 % confidence, by {scored} scored answers) is below 0.9")
        assert after["feedback"]["stated"] == 0.92
        assert after["feedback"]["answers"] == scored
        known = after["feedback"]
        assert after["accuracy"] == known["atLeast"] < known["estimate"] < known["atMost"]
        series = '{model="cheap-model",provider="default/cheap",route="default/chat",tier="all"'
        metrics = await merit.metrics()
        assert f"merit_accuracy_at_least{series}}}" in metrics
        assert f"merit_accuracy_estimate{series}}}" in metrics
        assert f"merit_accuracy_weight{series}}}" in metrics
        assert 'merit_feedback_total{model="cheap-model",provider="default/cheap",result="counted",' in metrics
        goals = (await merit.post(BODY, path="/v1/explain")).json()["objectives"]
        assert goals["confidence"] == 0.9


async def test_good_scores_admit_a_candidate_that_states_too_little(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, cheap="0.89", extra="feedback: {priorWeight: 50}")) as merit:
        assert (await ask(merit))[0] == "middle"
        byline = target(merit).byline
        for number in range(60):
            await score(merit, byline.signed(f"req_{int(time.time()):08x}{number:016x}", "default/tests"), 1)
        assert (await ask(merit))[0] == "cheap"


async def test_partial_scores_count_in_part(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, cheap="")) as merit:
        _, answer = await ask(merit)
        await score(merit, answer, 0.25)
        known = (await bids(merit))["middle"]["feedback"]
        assert known["weight"] == pytest.approx(1, abs=0.02)
        assert known["estimate"] < 0.995
        none = (await bids(merit))["cheap"]
        assert (none["accuracy"], none["feedback"]) == (None, None)


async def test_an_answer_counts_once_by_its_last_score(vendors: Vendors) -> None:
    async with gateway(*floor(vendors)) as merit:
        _, answer = await ask(merit)
        for value, replaced in ((0, False), (0, True), (1, True), (0.5, True)):
            assert (await score(merit, answer, value))["replaced"] is replaced
        assert (await bids(merit))["cheap"]["feedback"]["answers"] == 1
        once = (await bids(merit))["cheap"]["feedback"]["estimate"]
        tally = merit.parts.holder.live.tallies["default/chat", "all", "default/cheap", "cheap-model"]
        assert [known for _, known in tally] == [(1, 500_000)]
        _, other = await ask(merit)
        await score(merit, other, 0.5)
        assert (await bids(merit))["cheap"]["feedback"]["estimate"] < once


async def test_a_hit_is_scored_as_its_author(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, extra="cache: {exact: {ttl: 10m}}")) as merit:
        _, written = await ask(merit)
        again = await merit.post(BODY)
        assert again.headers["x-merit-cache"] == "hit"
        assert again.headers[ID] != written, "another answer: it may please another user less"
        said = await score(merit, again.headers[ID], 0)
        assert (said["provider"], said["replaced"]) == ("default/cheap", False)


async def test_old_scores_fade(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, extra="feedback: {halfLife: 24h}")) as merit:
        byline, now = target(merit).byline, int(time.time())
        await score(merit, byline.signed(f"req_{now - 48 * 3600:08x}{1:016x}", "default/tests"), 0)
        known = (await bids(merit))["cheap"]["feedback"]
        assert known["weight"] == pytest.approx(0.25, abs=0.03), "two half-lives, and half a span either way"
        await score(merit, byline.signed(f"req_{now - 29 * 86_400:08x}{2:016x}", "default/tests"), 0)
        assert (await bids(merit))["cheap"]["feedback"] == known, "too old to count"


async def test_a_tier_that_refuses_refuses_who_fell(vendors: Vendors) -> None:
    who = candidate("cheap", accuracy="0.92")
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9", whenMissed: Refuse}}}}]'
    async with gateway(*vendors.resources(route_of(tiers))) as merit:
        for _ in range(20):
            answer = await merit.post(BODY)
            if answer.status_code == 503:
                break
            await score(merit, answer.headers[ID], 0)
        assert answer.json()["error"]["code"] == "objectives_missed"
        assert "scored answers" in answer.json()["error"]["message"]


# ---- the id


@pytest.mark.parametrize("stream", [False, True])
async def test_the_id_is_in_both_headers_and_in_the_log(vendors: Vendors, stream: bool) -> None:
    async with gateway(*floor(vendors)) as merit:
        answer = await merit.post({**BODY, "stream": stream})
        assert answer.headers[ID] == answer.headers["x-request-id"]
        line = msgspec.json.decode(merit.log_text().splitlines()[-1], type=UsageLine)
        assert line.request == answer.headers[ID]
        await score(merit, answer.headers[ID], 1)


async def test_the_official_sdk_has_it_as_request_id(vendors: Vendors) -> None:
    async with gateway(*floor(vendors)) as merit:
        client = merit.client()
        completion = await client.chat.completions.create(**BODY)
        said = await client.post(
            "/feedback", cast_to=object, body={"id": completion._request_id, "score": 1, "comment": "solved it"}
        )
        assert said["provider"] == "default/cheap"  # type: ignore[index]


async def test_any_pod_takes_it_and_before_it_has_served_anything(vendors: Vendors) -> None:
    async with gateway(*floor(vendors)) as one, gateway(*floor(vendors)) as two:
        _, answer = await ask(one)
        assert (await score(two, answer, 0))["provider"] == "default/cheap"
        assert (await bids(two))["cheap"]["feedback"]["answers"] == 1


async def test_it_stays_good_over_a_rotation_of_the_provider_s_key(vendors: Vendors) -> None:
    documents = floor(vendors)
    async with gateway(*documents) as merit:
        _, answer = await ask(merit)
        await merit.apply(*(d.replace("sk-provider-canary", "sk-provider-rotated") for d in documents))
        _, later = await ask(merit)
        assert answer[-16:] != later[-16:]
        for known in (answer, later):
            await score(merit, known, 1)


async def test_a_provider_without_a_key_has_ids_that_nobody_can_make_up(vendors: Vendors) -> None:
    keyless = tuple(
        d.replace("credentials: {apiKey: {name: provider-keys, key: key}}", "") for d in floor(vendors)
    )  # fmt: skip
    async with gateway(*keyless, OTHER) as one, gateway(*keyless, OTHER) as two:
        _, answer = await ask(one)
        await score(two, answer, 1)


async def test_whose_answer_it_is_matters_and_nobody_learns_more(vendors: Vendors) -> None:
    async with gateway(*floor(vendors), OTHER) as merit:
        _, answer = await ask(merit)
        refused = await merit.post({}, key=OTHER_KEY)
        turned = answer[:-1] + ("0" if answer[-1] != "0" else "1")
        other_number = answer[:12] + "f" * 16 + answer[28:]
        words = set()
        for wrong, key in (
            (answer, OTHER_KEY), (turned, CONSUMER_KEY), (other_number, CONSUMER_KEY), (answer[:28], CONSUMER_KEY),
            (refused.headers[ID], OTHER_KEY), ("chatcmpl-unknown", CONSUMER_KEY), (answer.upper(), CONSUMER_KEY),
        ):  # fmt: skip
            said = await merit.post({"id": wrong, "score": 1}, path="/v1/feedback", key=key)
            error = said.json()["error"]
            assert (said.status_code, error["code"], error["param"]) == (404, "answer_not_found", "id")
            words.add(error["message"].replace(wrong, ""))
        assert len(words) == 1
        assert (await merit.post({"id": answer, "score": 1}, path="/v1/feedback", key="nobody")).status_code == 401
        assert 'merit_feedback_refused_total{code="answer_not_found"} 7.0' in await merit.metrics()
        assert not merit.parts.holder.live.tallies


async def test_a_consumer_that_may_no_longer_call_the_route_may_not_score_it(vendors: Vendors) -> None:
    documents = floor(vendors)
    async with gateway(*documents) as merit:
        _, answer = await ask(merit)
        only = CONSUMER.replace("key: tests}]}", "key: tests}], routes: [{name: backup}]}")
        rest = [d for d in documents if d != CONSUMER]
        await merit.apply(*rest, only, route("dear", model="backup", name="backup"))
        said = await merit.post({"id": answer, "score": 1}, path="/v1/feedback")
        assert said.status_code == 404


async def test_a_candidate_that_is_gone_keeps_its_scores_while_its_route_lives(vendors: Vendors) -> None:
    documents = floor(vendors)
    async with gateway(*documents) as merit:
        _, answer = await ask(merit)
        await score(merit, answer, 0)
        await merit.apply(*vendors.resources(route("middle")))
        await score(merit, answer, 0.5)
        await merit.apply(*documents)
        assert (await bids(merit))["cheap"]["feedback"]["answers"] == 1
        await merit.apply(*vendors.resources(route("middle", name="another")))
        assert not merit.parts.holder.live.tallies


async def test_late_scores_have_an_end(vendors: Vendors) -> None:
    async with gateway(*floor(vendors)) as merit:
        byline, now = target(merit).byline, int(time.time())
        await score(merit, byline.signed(f"req_{now - 29 * 86_400:08x}{1:016x}", "default/tests"), 1)
        old = byline.signed(f"req_{now - 45 * 86_400:08x}{2:016x}", "default/tests")
        said = await merit.post({"id": old, "score": 1}, path="/v1/feedback")
        assert (said.status_code, said.json()["error"]["code"]) == (400, "feedback_too_late")
        assert "45 days old. Score it within 30 days" in said.json()["error"]["message"]


# ---- the body


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ([], None, "must be a JSON object such as"),
        ({"score": 1}, "id", "(is null)"),
        ({"id": 7, "score": 1}, "id", "(is 7)"),
        ({"id": "x" * 300, "score": 1}, "id", "must be a string"),
        ({"id": "x"}, "score", "a number from 0 to 1"),
        ({"id": "x", "score": True}, "score", "(is true)"),
        ({"id": "x", "score": "1"}, "score", '(is "1")'),
        ({"id": "x", "score": 1.01}, "score", "(is 1.01)"),
        ({"id": "x", "score": -0.1}, "score", "(is -0.1)"),
        ({"id": "x", "score": 1, "value": 1}, "value", "fields are id, score, name, comment"),
        ({"id": "x", "score": 1, "comment": 5}, "comment", "must be a string"),
    ],
)
async def test_what_is_wrong_with_a_body_is_told(vendors: Vendors, body: Any, param: str | None, words: str) -> None:
    async with gateway(*floor(vendors)) as merit:
        said = await merit.post(body, path="/v1/feedback")
        error = said.json()["error"]
        assert (said.status_code, error["code"], error["param"]) == (400, "invalid_feedback", param)
        assert words in error["message"]


async def test_a_body_is_bounded_and_a_comment_is_not_kept(vendors: Vendors, tmp_path: Path) -> None:
    async with gateway(*floor(vendors), state_dir=tmp_path) as merit:
        _, answer = await ask(merit)
        given = {"id": answer, "score": 1, "name": "resolved-canary", "comment": "comment-canary"}
        assert (await merit.post(given, path="/v1/feedback")).status_code == 200
        await merit.parts.recorder.save()
        assert "canary" not in (tmp_path / "feedback.json").read_text() + merit.log_text() + await merit.metrics()
        huge = await merit.post({**given, "comment": "x" * 100_000}, path="/v1/feedback")
        assert huge.status_code == 413


# ---- over a restart


async def test_scores_outlive_the_process(vendors: Vendors, tmp_path: Path) -> None:
    documents = floor(vendors)
    async with gateway(*documents, state_dir=tmp_path) as merit:
        _, answer = await ask(merit)
        await score(merit, answer, 0)
        known = (await bids(merit))["cheap"]["feedback"]
        await merit.parts.recorder.save()
    async with gateway(state_dir=tmp_path) as merit:
        await merit.parts.recorder.load()
        await merit.apply(*documents)
        assert (await bids(merit))["cheap"]["feedback"] == known
        assert (await score(merit, answer, 1))["replaced"], "known to be scored, too"
        assert (await bids(merit))["cheap"]["feedback"]["answers"] == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format":99}', b"\xff"])
async def test_a_damaged_file_is_no_reason_not_to_start(vendors: Vendors, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "feedback.json").write_bytes(damage)
    async with gateway(*floor(vendors), state_dir=tmp_path) as merit:
        await merit.parts.recorder.load()
        _, answer = await ask(merit)
        await score(merit, answer, 1)
        await merit.parts.recorder.save()
    assert b"cheap-model" in (tmp_path / "feedback.json").read_bytes()


async def test_a_disk_that_can_not_be_written_costs_nothing(vendors: Vendors, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with gateway(*floor(vendors), state_dir=tmp_path / "file") as merit:
        _, answer = await ask(merit)
        await score(merit, answer, 1)
        await merit.parts.recorder.save()
        await ask(merit)


# ---- a candidate comes back


async def test_who_fell_by_bad_luck_gets_a_share_and_comes_back(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, extra='exploration: {share: "0.1"}')) as merit:
        while (found := await ask(merit))[0] == "cheap":
            await score(merit, found[1], 0)
        seen = []
        for _ in range(2000):
            answer = await merit.post(BODY)
            if answer.headers["x-merit-provider"] == "cheap":
                if "x-merit-placement" not in answer.headers:
                    break
                assert answer.headers["x-merit-placement"] == "exploration"
                assert "scored answers" in answer.headers["x-merit-objectives"]
                seen.append(answer.headers[ID])
                await score(merit, answer.headers[ID], 1)
        assert 1 <= len(seen) <= 100
        assert (await bids(merit))["cheap"]["standing"] == "admissible"


async def test_who_is_known_to_be_below_the_floor_gets_none(vendors: Vendors) -> None:
    async with gateway(*floor(vendors, extra='exploration: {share: "0.1"}')) as merit:
        byline = target(merit).byline
        for number in range(60):
            await score(merit, byline.signed(f"req_{int(time.time()):08x}{number:016x}", "default/tests"), 0)
        assert (await bids(merit))["cheap"]["feedback"]["atMost"] < 0.9
        for _ in range(100):
            assert (await ask(merit))[0] == "middle"


async def test_who_costs_more_than_who_serves_gets_none(vendors: Vendors) -> None:
    who = f"{candidate('cheap', accuracy='0.99')}, {candidate('middle', accuracy='0.91')}"
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9"}}}}]'
    async with gateway(*vendors.resources(route_of(tiers, extra='exploration: {share: "0.1"}'))) as merit:
        byline = target(merit, 1).byline
        for number in range(6):
            await score(merit, byline.signed(f"req_{int(time.time()):08x}{number:016x}", "default/tests"), 0)
        assert (await bids(merit))["middle"]["standing"] == "misses_objective"
        for _ in range(100):
            assert (await ask(merit))[0] == "cheap"


async def test_floorless_tiers_take_scores_and_change_nothing(vendors: Vendors) -> None:
    async with gateway(*vendors.resources(), provider("x", vendors.dear.url), prices("x", "1", "1")) as merit:
        for _ in range(20):
            who, answer = await ask(merit)
            assert who == "cheap"
            await score(merit, answer, 0)
        assert (await bids(merit))["cheap"]["feedback"]["answers"] == 20


async def test_anthropic_s_sdk_has_it_as_request_id(vendors: Vendors) -> None:
    async with gateway(*floor(vendors)) as merit:
        async with anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=0) as client:
            message = await client.messages.create(
                model="chat", max_tokens=8, messages=[{"role": "user", "content": "hello"}]
            )
        assert message._request_id is not None
        said = await merit.post({"id": message._request_id, "score": 0}, path="/v1/feedback")
        assert (said.status_code, said.json()["provider"]) == (200, "default/cheap")
