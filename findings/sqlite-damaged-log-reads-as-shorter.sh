#!/usr/bin/env bash
# SQLite 3.54.1 (PyPI package apsw 3.54.1.0, which carries it): one damaged byte in the middle of a
# write-ahead log takes away every transaction behind it, and nothing says so.
#
# What one would have sworn: the log has checksums, so damage is found and reported. A log that ends
# half way through a frame is the trace of a crash and is cut off there; a bad frame with thousands
# of good ones behind it is something else, and an integrity check sees it at the latest.
#
# What happens: the reader takes the first frame whose checksum is wrong for the end of the log. All
# transactions behind it, each of which was acknowledged with `synchronous=FULL`, are gone. Opening
# succeeds, `integrity_check` says ok, and the first new write goes where the damage was, so that
# the rest cannot be found afterwards either.
#
# Why it matters to those who build node services: small control planes and agents keep their state
# in such a file (kine, for one). A flipped bit on a cheap disk is then not an error but an older
# state: deleted objects are back, revisions are given out a second time, and whoever watches by
# revision believes to be ahead. What must not be lost needs a witness outside the log that says how
# far it reached.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" -q install --disable-pip-version-check apsw==3.54.1.0
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import shutil
import sys

import apsw

dir = sys.argv[1]
print("SQLite", apsw.sqlite_lib_version())
writer = apsw.Connection(f"{dir}/live.db")
for pragma in ["journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"]:
    list(writer.execute(f"PRAGMA {pragma}"))
writer.execute("CREATE TABLE objects (revision INTEGER PRIMARY KEY, value TEXT)")
for revision in range(1, 301):
    writer.execute("INSERT INTO objects VALUES (?, ?)", (revision, "x" * 200))
# As after a kill: file and log as they are on disk, taken while the writer still has them open.
for suffix in ["", "-wal"]:
    shutil.copy(f"{dir}/live.db{suffix}", f"{dir}/found.db{suffix}")
with open(f"{dir}/found.db-wal", "r+b") as log:
    size = log.seek(0, 2)
    log.seek(size // 2)
    byte = log.read(1)[0]
    log.seek(size // 2)
    log.write(bytes([byte ^ 1]))
reader = apsw.Connection(f"{dir}/found.db")
(check,) = next(reader.execute("PRAGMA integrity_check"))
count, last = next(reader.execute("SELECT count(*), max(revision) FROM objects"))
reader.execute("INSERT INTO objects (value) VALUES ('new')")
(given,) = next(reader.execute("SELECT last_insert_rowid()"))
print(f"acknowledged: 300; found after one flipped bit: {count}, the last {last}; integrity_check: {check};")
print(f"the next revision that is given out: {given}")
if not (check == "ok" and 0 < count < 300 and given == last + 1):
    sys.exit("that has changed")
PYTHON
