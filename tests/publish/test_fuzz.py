"""Whatever a stranger puts into a folder, a check ends in findings: no traceback, nothing run, nothing read outside."""

import contextlib
import copy
import hashlib
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tampering import content, records

from dtcbench.errors import UserError
from dtcbench.publish import verbs
from dtcbench.publish.examine import check
from dtcbench.publish.findings import RULES, Finding, lines
from dtcbench.publish.rules import of_record, of_trace
from dtcbench.record import CellRecord
from dtcbench.records import untrusted
from dtcbench.records.sealing import seal, unsealed
from dtcbench.records.store import Store
from dtcbench.records.untrusted import read_parquet

FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["NaN", "-Infinity", "\x1b[31m", "<script>", "../../etc/passwd", "FAKE", "ok", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

EXTREMES = {
    float: st.sampled_from(["NaN", "Infinity", "-Infinity", -1.0, 0.0, 5e-324, 1e308]),
    int: st.sampled_from([0, -1, 2**31, 2**63, 10**40, -(10**40)]),
    str: st.sampled_from(["", "\x1b[2J", "<script>alert(1)</script>", "\ud800", "\x00", "ok", "a" * 10_000]),
}
"""What the schema may well let through, by the type that stood there."""


def findings(folder) -> tuple[Finding, ...]:
    """What a check finds: always findings that can be told, on one line each."""
    found = check(Store(folder))
    assert all(one.rule in RULES and one.weight in ("error", "warning") for one in found)
    assert all("\x1b" not in line and "\n" not in line for line in lines(found))
    return found


def mutated(data, value):
    """The JSON value with one thing in it, at any depth, replaced by anything."""
    root = {"": copy.deepcopy(value)}
    holder, place = root, ""
    while isinstance(holder[place], dict | list) and holder[place] and data.draw(st.integers(0, 9)):
        holder = holder[place]
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        place = data.draw(st.sampled_from(keys))
    kind = data.draw(st.sampled_from(["same type", "same type", "anything", "nothing"]))
    if kind == "nothing" and isinstance(holder, dict):
        del holder[place]
    else:
        holder[place] = data.draw(EXTREMES.get(type(holder[place]), JSON) if kind == "same type" else JSON)
    return root.get("")


def sealed(value) -> bytes | None:
    """As a forger seals it; None where JSON has no such value."""
    try:
        return seal(value)
    except ValueError:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return f'{{"record":{text},"sha256":"{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


@pytest.fixture(scope="module")
def small(with_power, tmp_path_factory):
    """The metered run without its page, to be changed and mended again by every example."""
    folder = tmp_path_factory.mktemp("small") / "run"
    shutil.copytree(with_power, folder)
    (folder / "leaderboard.html").unlink()
    return folder


@FUZZ
@given(data=st.data())
def test_any_content_of_any_file_gives_findings(small, data):
    names = [str(path.relative_to(small)) for path in sorted(small.rglob("*")) if path.is_file()]
    names.remove(".lock")  # of no content
    path = small / data.draw(st.sampled_from(names))
    before = path.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    changed = before[:place] + data.draw(st.binary(max_size=50)) + before[place + data.draw(st.integers(0, 50)) :]
    path.write_bytes(data.draw(st.sampled_from([changed, data.draw(st.binary(max_size=200)), before[:place]])))
    try:
        findings(small)
    finally:
        path.write_bytes(before)


@FUZZ
@given(data=st.data())
def test_any_resealed_record_gives_findings(small, data):
    path = data.draw(st.sampled_from(records(small)))
    before = path.read_bytes()
    path.write_bytes(sealed(mutated(data, content(path))))
    try:
        findings(small)
    finally:
        path.write_bytes(before)


@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_any_resealed_record_gives_a_site_or_a_refusal(small, data):
    path = data.draw(st.sampled_from(records(small)))
    before = path.read_bytes()
    path.write_bytes(sealed(mutated(data, content(path))))
    try:
        with contextlib.suppress(UserError):
            list(verbs.site([Store(small)], small.parent / "site", None, None))
    finally:
        path.write_bytes(before)


@settings(FUZZ, max_examples=300)
@given(data=st.data())
def test_the_rules_on_one_record_take_any_that_the_schema_lets_through(small, data):
    original = content(data.draw(st.sampled_from(records(small))))
    frame = read_parquet((small / f"power/{original['key']}.1.parquet").read_bytes())
    try:
        record = unsealed(sealed(mutated(data, original)), CellRecord)
    except ValueError:
        return
    assert isinstance(record, CellRecord)
    assert all(one.rule in RULES for one in of_record(record, "x", {}))
    if record.energy:
        assert all(one.rule in RULES for one in of_trace(record.energy, frame, "x"))


@FUZZ
@given(data=st.data())
def test_any_suite_gives_findings(small, data):
    path = small / "suite.yaml"
    before = path.read_text()
    words = before.split(" ")
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(st.sampled_from(["[", "{", "&a [*a]", "!!python/name:os.system", "1e999", "-1", "~", "'"]))
    path.write_text(" ".join(words))
    try:
        findings(small)
    finally:
        path.write_text(before)


@settings(FUZZ, max_examples=200)
@given(data=st.data())
def test_any_bytes_for_a_trace_are_refused_or_read(small, data):
    before = next(iter(sorted((small / "power").iterdir()))).read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    changed = before[:place] + data.draw(st.binary(max_size=20)) + before[place + data.draw(st.integers(0, 20)) :]
    try:
        frame = read_parquet(changed)
    except ValueError:
        return
    energy = CellRecord.model_validate(content(records(small)[0])).energy
    assert all(one.rule in RULES for one in of_trace(energy, frame, "x"))


def test_a_table_of_more_than_memory_holds_is_refused(with_power, monkeypatch):
    content = next((with_power / "power").iterdir()).read_bytes()
    monkeypatch.setattr(untrusted, "MOST_TABLE_BYTES", 1000)
    with pytest.raises(ValueError, match="its table takes more than"):
        read_parquet(content)


def test_columns_that_are_not_plain_are_refused():
    import io

    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame({"t_s": [[1.0, 2.0]]}).to_parquet(buffer)
    with pytest.raises(ValueError, match="column 't_s' is of type list"):
        read_parquet(buffer.getvalue())
