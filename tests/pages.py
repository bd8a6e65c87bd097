"""What a page tells its reader to do, done: its files written, its commands run, its Python executed, as it stands."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"# ([\w-]+\.\w+)\n")
"""The first line of a block that is a file."""


def blocks(page: str, language: str = r"\w*") -> list[tuple[str, str]]:
    """The fenced blocks of a page of the repository, in order: language and text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```({language})\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def follow(page: str, dtcbench) -> None:
    """Do in the working folder what the page says, as its reader would.

    A block whose first line is `# NAME` is a file; `sh` holds commands of dtcbench, which end with 0; other Python is
    executed, in one namespace. What a block of `text` shows was printed just before, its numbers apart.
    """
    names: dict[str, object] = {}
    printed = ""
    for language, text in blocks(page):
        named = NAMED.match(text)
        if language == "text":
            assert masked(text) <= masked(printed), (page, masked(text) - masked(printed))
        elif named:
            Path(named[1]).write_text(text, encoding="utf-8")
        elif language == "sh":
            printed = "".join(_ran(line, dtcbench) for line in text.splitlines())
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(text, names)  # noqa: S102 - our own
            printed = out.getvalue()


def masked(text: str) -> set[str]:
    """The lines, without their numbers, widths and ends: what is the same on every machine."""
    lines = (re.sub(r"[-−+]?\d[\d.,]*", "0", line) for line in text.splitlines())
    return {" ".join(re.sub("─+", "─", line).split()) for line in lines} - {"", "…"}


def _ran(line: str, dtcbench) -> str:
    command, *words = shlex.split(line, comments=True)
    assert command == "dtcbench", line
    arguments = [found for word in words for found in sorted(map(str, Path().glob(word))) or [word]]
    inline = ["--inline"] if arguments[0] == "run" else []  # no Ray: its tests are others, and it starts for seconds
    ended = dtcbench(*arguments, *inline)
    assert ended.code == 0, (line, ended.err, ended.out)
    return ended.out
