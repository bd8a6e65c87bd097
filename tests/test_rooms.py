"""The order of the rooms: a module imports only from its own room and from those before it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dtcbench"
ORDER = (
    {"__init__", "errors", "files", "text", "unavailable", "cores", "output", "heartbeat"},
    {"validation"},
    {"cycles"},
    {"registry"},
    {"entropy", "hits", "dtc", "published"},
    {"solvers", "methods", "models", "datasets"},
    {"plan"},
    {"record"},
    {"energy"},
    {"training"},
    {"analysis"},
    {"records"},
    {"execution"},
    {"selftest"},
    {"report"},
    {"publish"},
    {"running"},
    {"cli"},
    {"__main__"},
)
"""Every folder and module at the top of the package: which may be imported by which, the first by all after it."""
PLACES = {room: place for place, rooms in enumerate(ORDER) for room in rooms}
OFFERED = {"records", "registry", "running", "training"}
"""What `dtcbench/__init__.py` offers under its own name, and imports when it is asked for."""


def rooms_of(file: Path) -> Iterator[str]:
    """The rooms that a file of the package imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "dtcbench":
            yield from (alias.name if alias.name in PLACES else "__init__" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dtcbench."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dtcbench."))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_folder_and_module_at_the_top_has_a_place() -> None:
    found = {room_of(file) for file in PACKAGE.rglob("*.py")}
    assert found == PLACES.keys()


def test_the_design_page_lists_the_rooms_in_this_order() -> None:
    page = (PACKAGE.parent / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \|", page.partition("## Rooms")[2].partition("## Contracts")[0], flags=re.MULTILINE)
    rooms = [room.rstrip("/") for row in rows for room in re.findall(r"`(.+?)`", row)]
    assert sorted(rooms) == sorted(PLACES.keys() - {"__init__", "__main__"})
    assert [PLACES[room] for room in rooms] == sorted(PLACES[room] for room in rooms)


@pytest.mark.parametrize("room", sorted(PLACES))
def test_a_room_imports_only_from_itself_and_from_rooms_before_it(room: str) -> None:
    files = [file for file in PACKAGE.rglob("*.py") if room_of(file) == room]
    wrong = {
        f"{file.relative_to(PACKAGE)} imports from {other}"
        for file in files
        for other in rooms_of(file)
        if other != room and PLACES[other] >= PLACES[room] and not (room == "__init__" and other in OFFERED)
    }
    assert not wrong
