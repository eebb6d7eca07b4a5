"""Finds the PgBouncer that the benchmark uses. `python -m tests.machines.pooler` exits 0 if there is one."""

import os
import shutil


def pgbouncer() -> str | None:
    return os.environ.get("PGBOUNCER") or shutil.which(
        "pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    )


if __name__ == "__main__":
    raise SystemExit(0 if pgbouncer() else 1)
