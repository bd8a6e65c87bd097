"""Tables of R packages as data sets for a suite: features and classes of an .rda file, written as .npz.

    pip install rdata
    apt-get download r-cran-mlbench r-cran-kernlab
    python tools/r_data.py r-cran-mlbench_*.deb LetterRecognition lettr letter.npz
    python tools/r_data.py r-cran-mlbench_*.deb Shuttle Class shuttle.npz
    python tools/r_data.py r-cran-kernlab_*.deb spam type spam.npz

The first argument is a Debian package, which is not installed, or an installed .rda file such as
/usr/lib/R/site-library/mlbench/data/LetterRecognition.rda; then follow the table, its column of classes, and the file
to write. A suite names that file: `datasets: [{name: file, path: letter.npz}]` (docs/own-data.md). No code of the
packages runs. Their licence is the GPL, so the tables do not come with dtcbench.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["rdata"]
# ///

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import rdata


def content(source: Path, table: str) -> bytes:
    """The bytes of the .rda file at `source`, or of `data/TABLE.rda` in the Debian package there."""
    if source.suffix != ".deb":
        return source.read_bytes()
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", source], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        for member in archive:
            if member.name.endswith(f"/data/{table}.rda") and (file := archive.extractfile(member)):
                return file.read()
    sys.exit(f"{source}: holds no data/{table}.rda")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a Debian package or an .rda file")
    parser.add_argument("table", help="such as LetterRecognition")
    parser.add_argument("label", help="the column of classes, such as lettr")
    parser.add_argument("out", type=Path, help="the .npz file to write")
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file that does not state its encoding
        frame = rdata.conversion.convert(rdata.parser.parse_data(content(given.source, given.table)))[given.table]
    frame.columns = frame.columns.map(str)
    if given.label not in frame.columns:
        sys.exit(f"{given.table}: has no column {given.label}; it has {', '.join(frame.columns)}")
    x = frame.drop(columns=given.label).to_numpy(dtype=np.float64)
    y = frame[given.label].astype(str).to_numpy(dtype=np.str_)
    np.savez_compressed(given.out, x=x, y=y)
    print(f"{given.out}: {len(x)} samples of {x.shape[1]} features, {len(np.unique(y))} classes")


if __name__ == "__main__":
    main()
