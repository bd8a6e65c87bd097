"""What the README and SKILL.md show works as it stands, and no page of the docs leads to nothing."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from dtcbench import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHOD, LOOP, TABLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
PAGES = sorted(["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])


def test_its_method_keeps_the_contract_of_methods(tmp_path, dtcbench):
    (tmp_path / "mine.py").write_text(METHOD)
    tried = dtcbench("selftest", "--plugin", tmp_path / "mine.py")
    assert tried.code == 0, tried.out
    assert " variance:" in tried.out


def test_its_loop_shrinks_the_network():
    names = {}
    exec(LOOP, names)  # noqa: S102 - our own
    widths = [layer.out_features for layer in names["model"] if isinstance(layer, torch.nn.Linear)]
    assert widths == [round(64 * 0.8**10), 3]


def test_its_table_has_a_column_per_method(tiny_workplace, monkeypatch):
    monkeypatch.chdir(tiny_workplace)
    names = {}
    exec(TABLES.replace("runs/quick", "runs/tiny"), names)  # noqa: S102 - our own
    assert isinstance(names["run"], Run)
    last = eval(TABLES.replace("runs/quick", "runs/tiny").splitlines()[-1], names)  # noqa: S307 - our own
    assert {"dense", "dtc"} <= set(last.columns)


def test_its_leaderboard_is_the_published_one(monkeypatch, dtcbench):
    monkeypatch.setenv("COLUMNS", "104")
    board = [line.rstrip() for line in dtcbench("board", *ROOT.glob("results/quick/*")).out.splitlines()]
    [shown] = re.findall(r"```\n(standard.*?)```", README, flags=re.DOTALL)
    assert set(shown.splitlines()) <= set(board)


def test_it_wins_a_reader_in_a_minute_and_names_every_command(dtcbench):
    commands = set(re.findall(r"^\W*(\w+)  ", dtcbench("--help").out, flags=re.MULTILINE)) & set(
        re.findall(r"`(\w+)`", README)
    )
    assert {"run", "plan", "claims", "check", "slurm", "calibrate"} <= commands
    assert len(re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()) < 900


@pytest.mark.usefixtures("sketched")
def test_the_commands_for_assistants_run_one_after_the_other(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    [lines] = re.findall(r"```sh\n(.*?)```", (ROOT / "SKILL.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in lines.splitlines():
        ended = dtcbench(*shlex.split(line.removeprefix("dtcbench ")))
        assert ended.code == 0, (line, ended.err)
    assert "quick-smoke" in ended.out


def test_the_files_that_assistants_are_sent_to_are_there():
    table = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    files = re.findall(r"[\w/]+\.md", table)
    assert len(files) > 5
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


def headings(page: Path) -> set[str]:
    """The anchors that a page on the web gives to its headings."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}
