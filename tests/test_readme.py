"""What the README, SKILL.md and the tutorials show works as it stands, and no page of the docs leads to nothing."""

import re
from pathlib import Path

import pytest
import torch
from pages import ROOT, blocks, follow

from dtcbench import Run

README = (ROOT / "README.md").read_text(encoding="utf-8")
METHOD, LOOP, TABLES = (code for _, code in blocks("README.md", "python"))
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
TUTORIALS = [page for page in DOCS if page.startswith("docs/tutorials/")]


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


@pytest.fixture
def one_thread():
    """As cells have it: two processes share the cores of CI."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("sketched", "one_thread")
@pytest.mark.parametrize("page", ["SKILL.md", *TUTORIALS])
def test_what_it_says_can_be_followed(page, tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "91")  # far from where any table shown has a column more or less
    monkeypatch.setattr("dtcbench.execution.provenance.checkout", lambda root: ("c0ffee" + 34 * "0", True))
    (tmp_path / "results").symlink_to(ROOT / "results")
    follow(page, dtcbench)


def test_the_files_that_assistants_are_sent_to_are_there():
    table = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    files = re.findall(r"[\w/]+\.md", table)
    assert len(files) > 5
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *DOCS])
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if page in DOCS:
            assert target.resolve().is_relative_to(ROOT / "docs"), f"the site of docs/ has no {link}"
        if anchor:
            assert anchor in headings(target), link


def test_every_page_has_its_place_on_the_site():
    places = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(f"docs/{page}" for page in places) == DOCS


def headings(page: Path) -> set[str]:
    """The anchors that a page on the web gives to its headings."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}
