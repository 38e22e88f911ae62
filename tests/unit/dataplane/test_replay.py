"""`merit usage`, `merit recost`, `merit plan`: files in, figures out; and that they agree with what serves requests."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_crds.pricing import Usage, in_force, price_details
from merit_crds.usage_line import UsageLine
from merit_dataplane.cli import main
from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.live import Live
from merit_dataplane.replay.dispatch import UNSERVED, dispatch
from merit_dataplane.replay.lines import SCHEMA, batches, read
from merit_dataplane.replay.pricing import priced
from merit_dataplane.replay.resources import compiled as compiled_folder
from merit_dataplane.replay.shapes import COLUMNS, shapes
from merit_dataplane.replay.spend import spend
from merit_dataplane.replay.tokens import of_usages
from merit_dataplane.snapshots.tables import Builder
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.wire.features import listed
from merit_dataplane.wire.openai_request import Call, Operation
from tests.support.gateway import over, says
from tests.support.resources import CONSUMER, candidate, compiled, prices, provider, route_of

GOLDEN = Path(__file__).parents[2] / "golden"
PLAN = GOLDEN / "plan"
UPDATE = bool(os.environ.get("MERIT_UPDATE_GOLDEN"))


def agrees(path: Path, text: str) -> None:
    if UPDATE:
        path.write_text(text)
    assert path.read_text() == text


# ---- plan


def planned(tmp_path: Path, *more: str) -> int:
    return main([
        "plan", "--before", f"{PLAN}/before", "--after", f"{PLAN}/after", "--trace", f"{PLAN}/trace.csv", *more
    ])  # fmt: skip


def test_a_plan_is_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path, "--json", f"{tmp_path}/plan.json", "--chart", f"{tmp_path}/plan.svg") == 0
    agrees(PLAN / "plan.md", capsys.readouterr().out)
    agrees(PLAN / "plan.json", (tmp_path / "plan.json").read_text())
    agrees(PLAN / "plan.svg", (tmp_path / "plan.svg").read_text())


def test_a_plan_as_a_page_has_its_picture_and_its_text(tmp_path: Path) -> None:
    page, text = tmp_path / "plan.html", tmp_path / "plan.md"
    assert planned(tmp_path, "--chart", str(page), "--markdown", str(text)) == 0
    assert "<svg" in page.read_text()
    assert "### Merit plan" in page.read_text()
    assert text.read_text().startswith("### Merit plan")


def test_the_bill_of_a_plan_is_that_of_its_requests_one_by_one(tmp_path: Path) -> None:
    lines = pl.read_csv(PLAN / "trace.csv", schema_overrides={"features": pl.String}).with_columns(
        prefix=pl.lit(""), prefix_tokens=pl.lit(0)
    )
    lines.write_csv(tmp_path / "trace.csv")
    snapshot = compiled_folder([PLAN / "after"]).snapshot
    main([
        "plan", "--before", f"{PLAN}/after", "--after", f"{PLAN}/after", "--trace", f"{tmp_path}/trace.csv",
        "--json", f"{tmp_path}/plan.json", "--markdown", os.devnull,
    ])  # fmt: skip
    found = json.loads((tmp_path / "plan.json").read_text())
    replayed = shapes(read([tmp_path / "trace.csv"], columns=COLUMNS))
    made = dispatch(snapshot, replayed)
    bill, usages = 0, replayed.tokens.usages()
    for row, place in enumerate(made.chosen):
        if place != UNSERVED:
            usage = usages[row]
            bill += price_details(in_force(made.prices[place], float(replayed.time[row])).tariff, usage).total
    assert round(float(found["spendUSD"]["after"]) * 10**12) == bill
    assert found["spendUSD"]["before"] == found["spendUSD"]["after"] == found["spendUSD"]["unmoved"]
    assert found["moved"] == 0


_FLOORS = (', objectives: {accuracy: "0.8"}', ', objectives: {accuracy: "0.8", whenMissed: Refuse}')
_CEILINGS = ('maxPrice: {input: "1.5"}', 'maxPrice: {output: "1"}')
_PRICE = st.integers(0, 30).map(lambda tenths: f"{tenths / 10:.1f}")
_SERVED = (
    'serviceTiers: [{name: flex, percentOff: "30"}]',
    'serviceTiers: [{name: flex, prices: {input: "1", output: "1"}}, {name: priority, percentOff: "0"}]',
)
_CANDIDATES = st.lists(
    st.tuples(_PRICE, _PRICE, st.sampled_from(["", "0.5", "0.9"]), st.booleans(), st.sampled_from(["", *_SERVED])),
    min_size=3,
    max_size=3,
)
_REQUESTS = st.lists(
    st.tuples(
        st.integers(1, 5000),
        st.integers(0, 300),
        st.integers(1, 3),
        st.sampled_from([0, 1, 2, 3]),
        st.sampled_from(["", "", "flex", "priority"]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40)
@given(_CANDIDATES, _REQUESTS, st.integers(1, 500), st.sampled_from(["", *_FLOORS]), st.sampled_from(["", *_CEILINGS]))
def test_requests_go_where_the_merit_order_sends_them(
    candidates: list[tuple[str, str, str, bool, str]],
    requests: list[tuple[int, int, int, int, str]],
    output: int,
    floor: str,
    max_price: str,
) -> None:
    documents = [CONSUMER]
    for name, (asked_in, asked_out, _, tools, served) in zip("abc", candidates, strict=True):
        able = "Streaming, Tools" if tools else "Streaming"
        documents += [
            provider(name, "http://127.0.0.1:9/v1"),
            prices(name, asked_in, asked_out, capabilities=able, extra=served),
        ]
    listing = ", ".join(candidate(n, accuracy=c[2]) for n, c in zip("abc", candidates, strict=True))
    tier = f"[{{name: all, candidates: [{listing}], expectedOutputTokens: {output}{floor}}}]"
    made = compiled(*documents, route_of(tier, extra=max_price))
    tables = Builder(made.version, made.snapshot, made.credentials, Live()).build()
    plan = tables.routes["default/chat"].tiers[0]
    found = dispatch(made.snapshot, shapes(_trace(requests, output)))
    for row, (length, limit, choices, features, service_tier) in enumerate(requests):
        call = Call(
            operation=Operation.CHAT, model="chat", stream=bool(features & 1), wants_usage=False, input_tokens=length,
            output_limit=limit, choices=choices, features=features, fields={}, messages=msgspec.Raw(b"[]"),
            service_tier=service_tier,
        )  # fmt: skip
        order = merit_order(plan, call, 0.0, 0.0)
        place = found.chosen[row]
        if not order:
            assert place == UNSERVED
        else:
            assert found.places[place].provider == order[0].target.provider.key
            assert found.missed[row] == (order[0].standing is Standing.MISSES_OBJECTIVE)


def _trace(requests: list[tuple[int, int, int, int, str]], output: int) -> pl.DataFrame:
    rows = [
        {
            "format": 1, "time": 1.0, "route": "default/chat", "status": 200, "input_tokens": length,
            "choices": choices, "output_tokens": output * choices, "output_limit": limit, "features": listed(features),
            "expected_input_tokens": length, "service_tier": service_tier,
        }
        for length, limit, choices, features, service_tier in requests
    ]  # fmt: skip
    known = {**SCHEMA, "prefix": pl.String, "prefix_tokens": pl.Int64}
    table = pl.DataFrame(rows, schema={name: known[name] for name in COLUMNS})
    return table.with_columns(
        pl.col(pl.String).fill_null(""), pl.col(pl.Int64).fill_null(0), pl.col(pl.Float64).fill_null(0)
    )


_LISTS = st.tuples(
    st.sampled_from([10, 10, 11, 13]),
    st.sampled_from([1, 1, 5, 10]),
    st.sampled_from([10, 12, 14]),
    st.sampled_from(["", "", "Whole", "Excess"]),
)
_PROMPTS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 10, 10, 150, 299, 300, 400]),  # seconds since the one before
        st.sampled_from(["a", "a b", "a b c", "a b d", "a b d e", "f", ""]),
        st.integers(0, 300),
        st.sampled_from(["default/chat", "default/chat", "default/other"]),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=150)
@given(st.lists(_LISTS, min_size=3, max_size=3), _PROMPTS, st.sampled_from([600, 1024, 2000]), st.booleans())
def test_warm_prompts_go_where_a_pod_that_knows_the_caches_sends_them_and_cost_the_same(
    lists: list[tuple[int, int, int, str]],
    prompts: list[tuple[int, str, int, str]],
    block: int,
    writes: bool,
) -> None:
    """What is not of a shared block has a length of its own only where writing it costs nothing more."""
    documents = [CONSUMER]
    for name, (asked, cached, written, tiered) in zip("abc", lists, strict=True):
        more = f', cachedInput: "{min(asked, cached) / 10}"' + (f', cacheWrite: "{written / 10}"' if writes else "")
        dearer = f"prices: {{input: '{asked / 5}'}}"
        tier = f"contextTiers: [{{above: 2500, applies: {tiered}, {dearer}}}]" if tiered else ""
        documents += [
            provider(name, "http://127.0.0.1:9/v1"),
            prices(name, f"{asked / 10}", "2", more_prices=more, extra=tier),
        ]
    listing = ", ".join(candidate(n) for n in "abc")
    tier = f"[{{name: all, candidates: [{listing}], expectedOutputTokens: 50}}]"
    other = f"[{{name: all, candidates: [{candidate('c')}, {candidate('b')}], expectedOutputTokens: 50}}]"
    made = compiled(*documents, route_of(tier), route_of(other, name="other", model="other"))
    tables = Builder(made.version, made.snapshot, made.credentials, Live()).build()
    rows, now = [], 1000.0
    for pause, names, tail, route in prompts:
        now += pause
        rows.append((now, route, names, block * len(names.split()) + (0 if writes and names else tail + 1)))
    replayed = shapes(_prompts(rows, block))
    found = dispatch(made.snapshot, replayed)
    spent = spend(found.chosen, [place.candidate for place in found.places], found.prices, replayed)
    for row, (at, route, names, length) in enumerate(rows):
        plan = tables.routes[route].tiers[0]
        call = Call(
            operation=Operation.CHAT, model="chat", stream=False, wants_usage=False, input_tokens=length,
            output_limit=0, choices=1, features=0, fields={}, messages=msgspec.Raw(b"[]"),
        )  # fmt: skip
        links = tuple(int.from_bytes(name.encode()) for name in names.split())
        ends = tuple(block * place for place in range(1, len(links) + 1))
        prefix = Prefix(links, ends, length, marked=True) if links and length >= 1024 else None
        for target in plan.targets:
            if target.warmth is not None:  # it has learned what the replay takes for granted
                target.warmth._age_shares = [1.0, 0.0, 0.0, 0.0]
                target.warmth._written = 1.0
        first = merit_order(plan, call, 0.0, at, prefix)[0]
        assert found.places[found.chosen[row]].candidate == " ".join(first.target.name), (row, names)
        usage = first.warm.usage(length, 50)
        assert spent[row] == price_details(first.charge, usage).total == first.cost
        if prefix is not None and first.target.warmth is not None:
            first.target.warmth.observe(prefix, first.warm, usage, at)


def _prompts(rows: list[tuple[float, str, str, int]], block: int) -> pl.DataFrame:
    known = {**SCHEMA, "prefix": pl.String, "prefix_tokens": pl.Int64}
    lines = [
        {
            "format": 1, "time": at, "route": route, "status": 200, "choices": 1, "input_tokens": length,
            "expected_input_tokens": length, "output_tokens": 50, "prefix": names, "prefix_tokens": block,
        }
        for at, route, names, length in rows
    ]  # fmt: skip
    return pl.DataFrame(lines, schema={name: known[name] for name in COLUMNS}).with_columns(
        pl.col(pl.String).fill_null(""), pl.col(pl.Int64).fill_null(0), pl.col(pl.Float64).fill_null(0)
    )


@settings(max_examples=60)
@given(st.lists(st.integers(1_781_000_000_000, 1_800_000_000_000), min_size=1, max_size=30))
def test_time_says_the_tariff_as_it_does_for_one_request(milliseconds: list[int]) -> None:
    price = compiled_folder([PLAN / "after"]).snapshot.pricings["default/north"].models["large"]
    at = np.array(milliseconds) / 1000
    usage = Usage(1234, 56, 78, 9)
    tokens = of_usages([usage] * len(at))
    exact = [price_details(in_force(price, float(t)).tariff, usage).total for t in at]
    assert priced(price, at, tokens).tolist() == exact


# ---- usage and recost


def recosted(*more: str) -> int:
    return main(["recost", str(GOLDEN / "recost/usage.jsonl"), *more])


@pytest.mark.parametrize(
    ("name", "more"),
    [("own-rates", ()), ("prices", ("--prices", str(GOLDEN / "recost/prices"))), ("json", ("--json",))],
)
def test_a_recost_is_as_it_was(name: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert recosted(*more) == 0
    agrees(GOLDEN / f"recost/{name}.txt", capsys.readouterr().out)


def test_a_version_is_known_by_the_lines_of_then(capsys: pytest.CaptureFixture[str]) -> None:
    assert recosted("--at", "1111111111ff") == 0
    assert "req" not in capsys.readouterr().out
    assert recosted("--at", "bbbbbbbbbbbb") == 1
    assert "small of default/south has no price there" in capsys.readouterr().err
    assert recosted("--at", "eeee") == 1
    assert "no line is of version 'eeee'" in capsys.readouterr().err


def test_a_cost_that_its_rates_do_not_make_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (GOLDEN / "recost/usage.jsonl").read_text().replace('"cost": "0.003"', '"cost": "0.003000000001"')
    (tmp_path / "usage.jsonl").write_text(text)
    assert main(["recost", str(tmp_path)]) == 1
    assert "-0.000000000001" in capsys.readouterr().out


async def test_what_a_gateway_logs_recomputes_to_what_it_booked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 70, "prompt_tokens_details": {"cached_tokens": 128}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    async with over(says(body)) as merit:
        for _ in range(3):
            await merit.post({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]})
        await merit.post({"model": "unknown", "messages": []})
        (tmp_path / "usage.jsonl").write_text(merit.log_text())
        booked = sum(series.cost for series in merit.parts.ledger.series.values())
    parquet = tmp_path / "usage.parquet"
    assert main(["usage", str(tmp_path / "usage.jsonl"), "-o", str(parquet), "--by", "day,consumer"]) == 0
    assert "default/tests" in capsys.readouterr().out
    for file in (tmp_path / "usage.jsonl", parquet):
        assert main(["recost", "--json", str(file)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert round(float(found["bookedUSD"]) * 10**12) == booked
        assert found["bookedUSD"] == found["recomputedUSD"]
        assert found["models"][0]["requests"] == 3


def test_sums_beyond_nine_million_usd_are_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line: dict[str, Any] = json.loads((GOLDEN / "recost/usage.jsonl").read_text().splitlines()[0])
    line["cost"] = "4000000.000000000001"
    (tmp_path / "usage.jsonl").write_text((json.dumps(line) + "\n") * 5)
    assert main(["usage", str(tmp_path)]) == 0
    assert "20000000.000000000005" in capsys.readouterr().out


def test_the_table_has_the_fields_of_a_line() -> None:
    assert list(SCHEMA) == sorted(SCHEMA, key=UsageLine.__struct_fields__.index) == list(UsageLine.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", "not json\n", "a.jsonl:1: is no JSON"),
        ("a.csv", "time,route\n1,a/b\n", "has no column 'input_tokens'"),
        ("a.csv", "time,route,input_tokens,output_tokens\n1,a/b,-5,1\n", "input_tokens: -5 is below 0"),
        ("a.jsonl", '{"format":2,"time":1,"route":"a/b"}\n', "format 2, this program knows 1"),
        ("a.csv", "time,route,input_tokens,output_tokens\n", "no request that a model answered"),
    ],
)
def test_what_is_no_usage_log_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, words: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert main(["plan", "--before", f"{PLAN}/before", "--after", f"{PLAN}/after", "--trace", str(file)]) == 1
    assert words in capsys.readouterr().err


LINE = (
    '{"format":1,"time":9.5,"route":"a/b","input_tokens":7,"output_tokens":1,"cost":"0.000000000001",'
    '"rates":{"input":"1","output":"1","cached_input":"1","cache_write":"1"}}\n'
)


def bad(field: str, value: str) -> bytes:
    return (LINE * 2 + LINE.replace(field, value) + LINE).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ((LINE * 3)[:-40].encode(), ":3: the last line is cut off; wait until the file is complete"),
        ((LINE + "\n\n" + LINE + "nonsense\n" + LINE).encode(), ":5: is no JSON"),
        ((LINE + "null\n").encode(), ":2: is no usage line (Expected `object`, got `null`)"),
        (bad("7", '"seven"'), ":3: is no usage line (Expected `int`, got `str` - at `$.input_tokens`)"),
        (bad("7", str(10**30)), ":3: has a number that is too large"),
        (bad('"a/b"', '"\\u00ff"').replace(b"\\u00ff", b"\xff"), ":3: is no"),
        (bad('"format":1', '"format":0'), ":3: format 0: no release wrote that"),
        (bad('"format":1', '"format":2'), ":3: format 2, this program knows 1: upgrade merit"),
        (bad('"format":1,', ""), ":3: has no format"),
        (bad('"time":9.5,', ""), ":3: has no time"),
        (b"\n" + bad('"0.000000000001"', '"1e3"'), ":4: cost: '1e3' is no decimal USD"),
        (bad('"0.000000000001"', '"0.0000000000001"'), ":3: cost: '0.0000000000001' is no decimal USD"),
        (bad('"0.000000000001"', '"-1"'), ":3: cost: '-1' is no decimal USD"),
    ],
)
@pytest.mark.parametrize("command", ["usage", "recost"])
def test_a_line_that_is_none_is_named_with_its_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: bytes, words: str
) -> None:
    plain, packed = tmp_path / "usage.jsonl", tmp_path / "more.jsonl.gz"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    for file in (plain, packed):
        assert main([command, str(file)]) == 1
        error = capsys.readouterr().err
        assert f"merit {command}: {file}{words}" in error
        assert error.count("\n") == 1


def test_a_packed_file_that_is_cut_off_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = tmp_path / "a.jsonl.gz", tmp_path / "a.parquet"
    file.write_bytes(gzip.compress((LINE * 100).encode())[:-12])
    assert main(["usage", str(file), "-o", str(output)]) == 1
    assert f"{file}: is damaged after line 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]


def test_many_files_are_read_some_lines_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of any length give the same lines, in the same order; a last line may lack its end."""
    lines = [LINE.replace("7", str(n)).replace("9.5", f"{n}.5") for n in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(lines[:20]).rstrip("\n"))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("".join(lines[20:40]).encode()))
    main(["usage", str(tmp_path), "-o", str(tmp_path / "ab.parquet")])
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.jsonl.gz").unlink()
    (tmp_path / "c.jsonl").write_text("".join(lines[40:]))
    capsys.readouterr()
    seen = []
    for block, rows in ((1, 1), (len(lines[0]), 7), (150, 20), (10**6, 10**6)):
        monkeypatch.setattr("merit_dataplane.replay.lines._BLOCK", block)
        monkeypatch.setattr("merit_dataplane.replay.lines._ROWS", rows)
        output = tmp_path / "of.parquet.all"
        assert main(["usage", str(tmp_path), "-o", str(output), "--by", "route"]) == 0
        seen.append(capsys.readouterr().out)
        assert read([tmp_path])["time", "input_tokens"].rows() == [(n + 0.5, n) for n in range(60)]
        assert pl.read_parquet(output)["input_tokens"].to_list() == list(range(60))
        assert len(list(batches([tmp_path]))) > 60 or block > 1
    assert len(set(seen)) == 1
    assert "0.00000000006" in seen[0]


def line_of(tier: str, rate: int, *, snapshot: str, tokens: int = 1_000_000, **more: Any) -> str:
    """A line of 1 million input tokens at a rate in USD."""
    rates = {name: str(rate) for name in ("input", "output", "cached_input", "cache_write")}
    line = {
        "format": 1, "time": 9.5, "request": "r", "status": 200, "duration": 0.1, "route": "a/b", "provider": "d/p",
        "model": "m", "input_tokens": tokens, "cost": str(rate), "rates": rates, "snapshot": snapshot,
        "service_tier": tier, "price_version": f"p{snapshot}",
    }  # fmt: skip
    return json.dumps(line | more) + "\n"


@pytest.mark.parametrize(
    ("lines", "version", "outcome"),
    [
        ([("default", 4, "new"), ("flex", 2, "new"), ("", 8, "old"), ("flex", 4, "old")], "old", "24"),
        ([("default", 4, "new"), ("flex", 2, "new"), ("", 8, "old")], "old", "no rates of the service tier 'flex'"),
        ([("default", 4, "new"), ("flex", 2, "old")], "old", "no rates of the service tier 'default'"),
        ([("flex", 4, "new"), ("flex", 2, "old")], "old", "4"),
        ([("flex", 4, "new"), ("flex", 2, "old")], "pold", "4"),
        ([("", 4, "old1"), ("", 2, "old2")], "old", "'old' is the beginning of 2 versions (old1, old2)"),
        ([("", 4, "old1"), ("", 2, "old2")], "gone", "no line is of version 'gone' (the log has old1, old2, pold1"),
        ([("", 4, "old"), ("", 2, "old")], "old", "has several rates in version 'old'"),
    ],
)
def test_a_version_knows_its_service_tiers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[tuple[str, int, str]], version: str, outcome: str
) -> None:
    for number, (tier, rate, snapshot) in enumerate(lines):  # a file each: what one lacks, another has
        (tmp_path / f"{number}.jsonl").write_text(line_of(tier, rate, snapshot=snapshot))
    code = main(["recost", str(tmp_path), "--at", version, "--json"])
    said = capsys.readouterr()
    if code:
        assert outcome in said.err
    else:
        assert json.loads(said.out)["recomputedUSD"] == outcome


def test_a_service_tier_without_a_price_is_an_error_unless_it_was_an_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "all.yaml").write_text(
        "\n---\n".join([provider("p", "https://p.example.com/v1"), prices("p", "3", "3", model="m")])
    )
    file = tmp_path / "usage.jsonl"
    for more, code in (({}, 1), ({"estimated": True}, 0)):
        file.write_text(line_of("flex", 2, snapshot="x", provider="default/p", **more))
        assert main(["recost", str(file), "--prices", str(folder)]) == code
    assert "m of default/p has no price for the service tier 'flex' there" in capsys.readouterr().err


def test_broken_resources_are_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = (PLAN / "before/all.yaml").read_text().replace('input: "2"', 'input: "two"')
    (tmp_path / "all.yaml").write_text(broken)
    assert main(["plan", "--before", f"{PLAN}/before", "--after", str(tmp_path), "--trace", f"{PLAN}/trace.csv"]) == 1
    assert "must be a decimal string" in capsys.readouterr().err
