import hashlib
import io
import json
import os
import platform
import re
import stat
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtcbench.plan.names import Declared
from dtcbench.record import CellRecord, Status
from dtcbench.records.sealing import seal, unsealed
from dtcbench.records.store import Store, StoreError

NO_NAMES = Declared(meanings={}, chosen={})


@pytest.fixture
def writer(tmp_path):
    with Store(tmp_path / "run").locked() as writer:
        yield writer


@pytest.fixture
def store(writer):
    return writer.store


def test_a_record_read_back_is_the_record_written(writer, store, ok_record):
    writer.append(ok_record)
    assert store.read().record(ok_record.key) == ok_record
    assert store.read().damaged == {}


def test_the_same_record_seals_to_the_same_bytes(ok_record):
    assert seal(ok_record.model_dump(mode="json")) == seal(
        unsealed(seal(ok_record.model_dump(mode="json")), CellRecord).model_dump(mode="json")
    )


def test_a_truncated_file_is_named_and_does_not_count(writer, store, ok_record, failed_record):
    path, other = writer.append(ok_record), writer.append(failed_record)
    path.write_bytes(path.read_bytes()[:-40])
    contents = store.read()
    assert contents.record(ok_record.key) is None
    assert contents.record(failed_record.key) == failed_record, f"{other} must not be lost with it"
    (reason,) = contents.damaged.values()
    assert list(contents.damaged) == [path]
    assert "truncated" in reason


def test_an_altered_figure_breaks_the_seal(writer, store, ok_record):
    path = writer.append(ok_record)
    text = path.read_text()
    better = text.replace(f'"accuracy":{ok_record.result.accuracy}', '"accuracy":1.0', 1)
    assert better != text
    path.write_text(better)
    (reason,) = store.read().damaged.values()
    assert "altered" in reason


def test_a_resealed_record_under_another_cells_name_does_not_count(writer, store, ok_record, failed_record):
    path = writer.append(ok_record)
    path.rename(path.with_name(f"{failed_record.key}.1.json"))
    (reason,) = store.read().damaged.values()
    assert "another cell or attempt" in reason


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_single_changed_byte_is_noticed_or_means_the_same(ok_record, data):
    content = bytearray(seal(ok_record.model_dump(mode="json")))
    place = data.draw(st.integers(0, len(content) - 2))  # the last byte is a line's end
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        record = unsealed(bytes(content), CellRecord)
    except ValueError:
        return
    assert record == ok_record


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"record":{},"sha256":1}', b"\xff\xfe", b"[" * 100_000, b'{"record":1}']
)
def test_content_that_is_no_record_is_a_reason_never_a_crash(content):
    with pytest.raises(ValueError, match=r"truncated|sealed|altered"):
        unsealed(content, CellRecord)


def test_a_half_written_file_counts_for_nothing_and_is_cleared_away(tmp_path, ok_record):
    store = Store(tmp_path)
    with store.locked() as writer:
        path = writer.append(ok_record)
    half = path.with_name(f"{path.name}.tmp")
    half.write_text('{"record":{"acc')
    assert len(store.read().attempts) == 1
    with store.locked():
        assert not half.exists()


def test_a_standing_record_is_never_overwritten(writer, ok_record):
    writer.append(ok_record)
    with pytest.raises(StoreError, match="stands already"):
        writer.append(ok_record)


def test_the_ok_attempt_counts_whatever_came_after_and_else_the_latest(writer, store, ok_record, failed_record):
    again = {"key": ok_record.key, "cell": ok_record.cell}
    writer.append(failed_record.model_copy(update={**again, "attempt": 1}))
    writer.append(failed_record.model_copy(update={**again, "attempt": 2, "reason": "later"}))
    assert store.read().record(ok_record.key).reason == "later"
    writer.append(ok_record.model_copy(update={"attempt": 3}))
    writer.append(failed_record.model_copy(update={**again, "attempt": 4}))
    assert store.read().record(ok_record.key).status is Status.OK
    assert store.read().next_attempt(ok_record.key) == 5


def test_a_damaged_file_still_uses_up_its_attempt_number(writer, store, ok_record):
    path = writer.append(ok_record)
    path.write_text("{")
    assert store.read().next_attempt(ok_record.key) == 2


def test_a_damaged_file_set_aside_is_kept_but_read_no_more(writer, store, ok_record):
    path = writer.append(ok_record)
    path.write_text("{")
    writer.set_aside(path)
    assert store.read().damaged == {}
    assert path.with_name(f"{path.name}.damaged").read_text() == "{"


def test_only_its_user_reads_a_new_run(store, writer):
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_a_second_run_on_the_same_folder_is_refused_by_process_and_host(store, writer):
    holder = re.escape(f"process {os.getpid()} on {platform.node()}")
    with (
        pytest.raises(StoreError, match=rf"run is in use by {holder}; .*--out"),
        Store(store.root).locked(),
    ):
        pass


def test_the_lock_dies_with_its_process(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\nfrom dtcbench.records.store import Store\n"
            "with Store(pathlib.Path(sys.argv[1])).locked():\n    print('held', flush=True)\n    sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"process {holder.pid}"), Store(tmp_path).locked():
        pass
    holder.kill()
    holder.communicate()
    with Store(tmp_path).locked():
        assert Store(tmp_path).read().attempts == {}


def test_a_sealed_record_of_another_schema_stops_the_run_and_is_not_redone(writer, store, ok_record):
    path = writer.append(ok_record)
    path.write_bytes(seal({**ok_record.model_dump(mode="json"), "schema_version": 99}))
    with pytest.raises(StoreError, match=r"schema_version.*use the dtcbench that wrote it"):
        store.read()


def test_a_number_set_aside_is_not_given_again(writer, store, ok_record):
    path = writer.append(ok_record)
    path.write_text("{")
    writer.set_aside(path)
    assert store.read().next_attempt(ok_record.key) == 2


def test_a_folder_with_another_suites_records_is_refused(writer, store, ok_record):
    writer.append(ok_record)
    writer.save_suite("tiny", "name: tiny", NO_NAMES, store.read())
    with pytest.raises(StoreError, match=r"records of suite tiny, not other; .*--out"):
        writer.save_suite("other", "name: other", NO_NAMES, store.read())
    assert store.suite.read_text() == "name: tiny"


def test_a_lock_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(StoreError, match="--out"), Store(tmp_path).locked():
        pass


def test_a_folder_without_a_run_says_how_to_start_one(tmp_path):
    with pytest.raises(StoreError, match="dtcbench run SUITE"):
        Store(tmp_path).existing()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--out"), Store(tmp_path / "file" / "run").locked():
        pass


def test_sealed_files_are_plain_json(writer, ok_record):
    assert json.loads(writer.append(ok_record).read_text())["record"]["key"] == ok_record.key


# traces


def with_trace(record, trace):
    """The record, speaking of these samples."""
    reasons = {name: reason for name, reason in record.energy.reasons.items() if name != "trace_sha256"}
    digest = hashlib.sha256(trace).hexdigest()
    energy = record.energy.model_copy(update={"trace_sha256": digest, "reasons": reasons})
    return record.model_copy(update={"energy": energy})


@pytest.fixture
def samples():
    buffer = io.BytesIO()
    pd.DataFrame({"t_s": [0.0, 0.1], "instant_w": [300.0, 310.0]}).to_parquet(buffer)
    return buffer.getvalue()


def test_a_trace_read_back_is_the_trace_written(writer, store, ok_record, samples):
    record = with_trace(ok_record, samples)
    writer.append(record, samples)
    assert store.trace(record)["instant_w"].tolist() == [300.0, 310.0]


def test_a_record_without_samples_has_no_trace(store, ok_record, failed_record):
    assert store.trace(ok_record) is None
    assert store.trace(failed_record) is None


def test_an_altered_or_missing_trace_is_refused_by_name(writer, store, ok_record, samples):
    record = with_trace(ok_record, samples)
    writer.append(record, samples)
    (path,) = (store.root / "power").iterdir()
    path.write_bytes(samples + b"\0")
    with pytest.raises(StoreError, match=rf"{path.name}: altered"):
        store.trace(record)
    path.unlink()
    with pytest.raises(StoreError, match=rf"{path.name}: No such file"):
        store.trace(record)
