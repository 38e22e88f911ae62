"""The commands that end: what they print and how they exit."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from merit_crds import __version__
from merit_crds.snapshot import version_of
from tests.support.merit_process import run_merit
from tests.support.resources import CONSUMER, candidate, prices, provider, route, route_of

URL = "http://127.0.0.1:9/v1"
EXAMPLES = Path(__file__).parents[2] / "examples" / "quickstart" / "resources"
REQUEST = json.dumps({"messages": [{"role": "user", "content": "x" * 1200}], "max_tokens": 100}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiers = f"""
    - name: legal
      when: [{{lastMessage: lawyer}}, {{headers: [{{name: x-topic, value: legal}}]}}]
      candidates: [{candidate("b", accuracy="0.9")}]
    - name: rest
      candidates: [{candidate("a", accuracy="0.7")}, {candidate("b", accuracy="0.9")}, {candidate("c")}]
      objectives: {{accuracy: "0.8"}}
    """
    documents = {
        "providers.yaml": [provider(name, URL) for name in "abc"],
        "prices.yaml": [
            prices("a", "1", "1"), prices("b", "2", "2"), prices("c", "1", "1", capabilities="Logprobs"),
        ],
        "route.yaml": [route_of(tiers)],
        "consumer.yaml": [CONSUMER],
    }  # fmt: skip
    for name, parts in documents.items():
        (tmp_path / name).write_text("\n---\n".join(parts))
    return tmp_path


async def test_version() -> None:
    assert await run_merit("--version") == (0, f"merit {__version__}\n", "")


async def test_help() -> None:
    commands = [[], ["serve"], ["validate"], ["compile"], ["explain"], ["crds"]]
    answers = await asyncio.gather(*(run_merit(*command, "--help") for command in commands))
    for command, (code, out, err) in zip(commands, answers, strict=True):
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: merit {' '.join(command)}".rstrip())


async def test_a_wrong_command_line_exits_with_2_and_usage() -> None:
    wrong = [[], ["nonsense"], ["validate"], ["compile", "--output", "x", "."], ["explain"]]
    for code, out, err in await asyncio.gather(*(run_merit(*arguments) for arguments in wrong)):
        assert (code, out) == (2, "")
        assert err.startswith("usage: merit")


# ---- validate


async def test_validate_what_is_valid() -> None:
    assert await run_merit("validate", EXAMPLES) == (0, "8 resources are valid\n", "")


async def test_validate_names_file_line_field_reason_and_fix(folder: Path) -> None:
    (folder / "route.yaml").write_text(route("a", "nobody"))
    text = (folder / "prices.yaml").read_text().replace('input: "2"', "input: 2")
    (folder / "prices.yaml").write_text(text)
    (folder / "broken.yaml").write_text("a: [\nb: 1\n")
    (folder / "twice.yaml").write_text(provider("a", URL))
    code, out, err = await run_merit("validate", folder)
    lines = out.splitlines()
    line = 1 + next(n for n, text_line in enumerate(text.splitlines()) if "input: 2," in text_line)
    assert code == 1
    assert [li for li in lines if f"prices.yaml:{line}: ProviderPricing" in li and "must be a quoted string" in li]
    assert [li for li in lines if "broken.yaml:" in li]
    assert [li for li in lines if "twice.yaml:" in li and "is already in" in li and "remove one of the two" in li]
    assert [li for li in lines if "route.yaml:" in li and "there is no Provider default/nobody: create it" in li]
    assert err == f"{len(lines)} problems in 8 resources\n"


async def test_validate_one_file_and_a_path_that_is_not_there(folder: Path) -> None:
    code, out, _ = await run_merit("validate", folder / "providers.yaml")
    assert code == 1  # its Secrets are elsewhere
    assert "Secret default/provider-keys does not exist: create it" in out
    assert await run_merit("validate", folder / "none.yaml") == (
        1, "", f"merit validate: {folder / 'none.yaml'} does not exist\n",
    )  # fmt: skip


# ---- compile


async def test_compile_prints_snapshot_and_statuses(folder: Path) -> None:
    code, out, err = await run_merit("compile", folder)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {"version", "snapshot", "resources"}
    chat = next(r for r in document["resources"] if r["kind"] == "ModelRoute")
    assert chat["inForce"] == "current"
    assert {c["type"]: c["status"] for c in chat["conditions"]} == {"Accepted": "True", "ResolvedRefs": "True"}
    # 300 tokens in, 60 out
    assert [(r["tier"], r["provider"], r["costUSD"]) for r in chat["meritOrder"]] == [
        ("legal", "default/b", "0.00072"),
        ("rest", "default/b", "0.00072"),
        ("rest", "default/a", "0.00036"),
        ("rest", "default/c", "0.00036"),
    ]


async def test_compile_version_and_snapshot_agree(folder: Path) -> None:
    _, version, _ = await run_merit("compile", folder, "--output", "version")
    _, snapshot, _ = await run_merit("compile", folder, "--output", "snapshot")
    assert version_of(snapshot.rstrip("\n").encode()) == version.strip()
    assert "sk-provider-canary" not in snapshot


async def test_compile_of_what_is_no_resource_exits_with_1(folder: Path) -> None:
    (folder / "broken.yaml").write_text("a: [")
    code, out, err = await run_merit("compile", folder)
    assert code == 1
    assert "broken.yaml:" in err
    assert json.loads(out)["version"]


# ---- explain


async def test_explain_prints_the_whole_order_with_reasons(folder: Path) -> None:
    code, out, err = await run_merit("explain", "--route", "chat", "--resources", folder, stdin=REQUEST.replace(
        b'"max_tokens"', b'"stream": true, "max_tokens"'))  # fmt: skip
    assert (code, err) == (0, "")
    assert out == (
        "route default/chat, tier rest, about 308 input tokens\n"
        "\n"
        "   PROVIDER   MODEL    EXPECTED USD  STANDING          REASON\n"
        "1  default/b  b-model  0.000816      admissible\n"
        "2  default/a  a-model  0.000408      misses objective  accuracy 0.7 is below 0.8\n"
        "3  default/c  c-model  0.000408      incapable         lacks Streaming\n"
    )


async def test_explain_json_and_headers(folder: Path) -> None:
    header = ("--header", "X-Topic: legal")
    code, out, _ = await run_merit(
        "explain", "--route", "default/chat", "--resources", folder, "--json", *header, stdin=REQUEST
    )
    document = json.loads(out)
    assert (code, document["tier"], document["inputTokens"]) == (0, "legal", 308)
    (bid,) = document["meritOrder"]
    assert (bid["provider"], bid["standing"], bid["reason"]) == ("default/b", "admissible", "")
    assert (Decimal(bid["expectedCostUSD"]), bid["expectedOutputTokens"]) == (Decimal("0.000816"), 100)


async def test_explain_steered(folder: Path) -> None:
    wish = b'{"provider": {"order": ["c"], "max_price": {"prompt": 1}}, "models": ["chat:nitro"], '
    code, out, err = await run_merit("explain", "--route", "chat", "--resources", folder, stdin=wish + REQUEST[1:])
    assert (code, err) == (0, "")
    assert out == (
        "route default/chat, tier rest, about 308 input tokens\n"
        "\n"
        "   PROVIDER   MODEL    EXPECTED USD  STANDING          REASON\n"
        "1  default/c  c-model  0.000408      misses objective  accuracy 0.0 is below 0.8\n"
        "2  default/a  a-model  0.000408      misses objective  accuracy 0.7 is below 0.8\n"
        "3  default/b  b-model  0.000816      excluded          input at 2 is above provider.max_price of 1\n"
        "\n"
        "then route default/chat, tier rest, about 308 input tokens\n"
        "\n"
        "   PROVIDER   MODEL    EXPECTED USD  STANDING          REASON\n"
        "1  default/c  c-model  0.000408      misses objective  accuracy 0.0 is below 0.8\n"
        "2  default/a  a-model  0.000408      misses objective  accuracy 0.7 is below 0.8\n"
        "3  default/b  b-model  0.000816      excluded          input at 2 is above provider.max_price of 1\n"
    )


async def test_explain_tells_the_context_tier(folder: Path) -> None:
    tier = 'contextTiers: [{above: 300, applies: Whole, prices: {input: "3", output: "4"}}]'
    (folder / "prices.yaml").write_text(
        "\n---\n".join([prices("a", "1", "1"), prices("b", "2", "2", extra=tier), prices("c", "1", "1")])
    )
    command = ("explain", "--route", "chat", "--resources", folder, "--header", "X-Topic: legal")
    code, out, err = await run_merit(*command, stdin=REQUEST)
    assert (code, err) == (0, "")
    assert out.endswith("1  default/b  b-model  0.001324      admissible  context tier above 300 tokens\n")
    _, out, _ = await run_merit(*command, "--json", stdin=REQUEST)
    assert json.loads(out)["meritOrder"][0]["contextTier"] == {"above": 300, "applies": "Whole"}


async def test_explain_at_an_instant(folder: Path) -> None:
    period = 'periods: [{validFrom: "2099-01-01T00:00:00Z", prices: {input: "1", output: "1", audioInput: "1"}}]'
    (folder / "prices.yaml").write_text(
        "\n---\n".join([prices("a", "1", "1"), prices("b", "2", "2", extra=period), prices("c", "1", "1")])
    )
    command = ("explain", "--route", "chat", "--resources", folder, "--header", "X-Topic: legal", "--json")
    for arguments, expected in (
        ((), "0.000816"),
        (("--at", "2098-12-31T23:59:59Z"), "0.000816"),
        (("--at", "2099-01-01T01:00+01:00"), "0.000408"),
    ):  # fmt: skip
        _, out, _ = await run_merit(*command, *arguments, stdin=REQUEST)
        assert json.loads(out)["meritOrder"][0]["expectedCostUSD"] == expected
    code, _, err = await run_merit(*command, "--at", "tomorrow", stdin=REQUEST)
    assert code == 2
    assert "--at" in err


async def test_explain_expects_no_more_output_than_the_model_may_write(folder: Path) -> None:
    (folder / "prices.yaml").write_text(
        "\n---\n".join(
            [prices("a", "1", "1", extra="maxOutputTokens: 40"), prices("b", "2", "2"), prices("c", "1", "1")]
        )
    )
    request = REQUEST.replace(b'"max_tokens": 100', b'"n": 2')
    assert request != REQUEST
    _, out, _ = await run_merit("explain", "--route", "chat", "--resources", folder, "--json", stdin=request)
    output = {bid["model"]: bid["expectedOutputTokens"] for bid in json.loads(out)["meritOrder"]}
    assert output == {"a-model": 80, "b-model": 512, "c-model": 512}


async def test_explain_of_what_is_not_there(folder: Path) -> None:
    code, out, err = await run_merit("explain", "--route", "none", "--resources", folder, stdin=REQUEST)
    assert (code, out) == (1, "")
    assert err == "merit explain: there is no usable route 'none'; there are: default/chat\n"
    code, out, err = await run_merit("explain", "--route", "chat", "--resources", folder, stdin=b"hello")
    assert (code, out) == (1, "")
    assert err.startswith("merit explain: The body is no JSON object")


async def test_explain_of_a_route_without_usable_candidates(folder: Path) -> None:
    (folder / "route.yaml").write_text(route("nobody"))
    code, out, err = await run_merit("explain", "--route", "chat", "--resources", folder, stdin=REQUEST)
    assert "there is no Provider default/nobody" in err
    assert "Traceback" not in err
    assert code == 0 or out == ""


# ---- crds


async def test_crds() -> None:
    code, out, err = await run_merit("crds")
    assert (code, err) == (0, "")
    assert out.count("kind: CustomResourceDefinition") == 4
