"""Nothing of a library's on the terminal."""

import subprocess
import sys

SCRIPT = """
import os, sys
from pathlib import Path
from dtcbench.execution.quiet import quiet

print("before")
with quiet(Path(sys.argv[1])) as terminal:
    print("python's own")
    print("an error", file=sys.stderr)
    os.write(1, b"from the system\\n")
    os.write(2, b"from C++\\n")
    print("for the user", file=terminal, flush=True)
print("after")
"""


def test_what_libraries_print_goes_to_the_log_and_only_ours_to_the_terminal(tmp_path):
    log = tmp_path / "ray.log"
    ended = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["before", "for the user", "after"]
    assert ended.stderr == ""
    assert sorted(log.read_text().splitlines()) == ["an error", "from C++", "from the system", "python's own"]
