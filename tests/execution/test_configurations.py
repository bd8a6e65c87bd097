"""A configuration of transformers that a suite names: its content is in the cells, and so in their keys."""

import json

import pytest
from suites_for_tests import TINY, edited

from dtcbench.execution.suite_run import read_suite
from dtcbench.plan.document import SuiteError

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 32000,
    "bos_token_id": 1,
    "torch_dtype": "bfloat16",
    "transformers_version": "5.0.0",
    "_name_or_path": "some/where",
    "_attn_implementation": "sdpa",
}
NOT_READ = (
    "model_type",
    "vocab_size",
    "bos_token_id",
    "torch_dtype",
    "transformers_version",
    "_name_or_path",
    "_attn_implementation",
)


@pytest.fixture(autouse=True)
def llama(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    file = tmp_path / "llama.json"
    file.write_text(json.dumps(LLAMA))
    return file


def cells(options):
    model = ("[{name: mlp, widths: [16]}]", f"[{{name: transformers, {options}}}]")
    return read_suite(edited(TINY, model, ("[digits]", "[tinyshakespeare]")), None)[1].cells


def test_a_cell_holds_what_the_file_says_and_not_its_name():
    model = cells("config: llama.json")[0].model
    fields = {name: value for name, value in LLAMA.items() if name not in NOT_READ}
    assert model.options == {"architecture": "llama", "arguments": fields}
    assert model.label.startswith("transformers(architecture=llama, arguments=")
    assert len(model.label) < 70


def test_the_content_in_the_suite_makes_the_same_cells_as_the_file_and_another_content_makes_others(llama):
    of_file = [cell.key for cell in cells("config: llama.json")]
    fields = {name: value for name, value in LLAMA.items() if name not in NOT_READ}
    assert [cell.key for cell in cells(f"architecture: llama, arguments: {json.dumps(fields)}")] == of_file
    llama.write_text(json.dumps({**LLAMA, "hidden_size": 64}))
    assert not {cell.key for cell in cells("config: llama.json")} & set(of_file)
    changed = [cell.key for cell in cells("config: llama.json, arguments: {hidden_size: 32}")]
    assert changed == of_file  # an argument beside the file replaces its field


def test_what_the_writing_machine_noted_is_in_no_part_of_the_configuration(llama):
    llama.write_text(json.dumps({**LLAMA, "text_config": {"hidden_size": 8, "_attn_implementation_autoset": True}}))
    assert cells("config: llama.json")[0].model.options["arguments"]["text_config"] == {"hidden_size": 8}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("{", "config: llama.json", "llama.json: not a JSON file"),
        ("[1]", "config: llama.json", "llama.json: has no model_type; name a config.json"),
        ("{}", "config: other.json", "other.json: no such file .*correct the path"),
        ("{}", "config: llama.json, architecture: gpt2", "remove `architecture: gpt2`"),
        ("{}", "config: 3", "config"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_at_its_place_in_the_suite(llama, content, options, message):
    llama.write_text(content)
    with pytest.raises(SuiteError, match=rf"models\[0\].*{message}"):
        cells(options)
