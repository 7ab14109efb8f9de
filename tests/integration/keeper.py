"""Keeps the namespaces of the tests' engine, and clears up after pytest however pytest ends.

``python3 keeper.py FOLDER GROUP`` starts the first process of new mount and PID namespaces, prints the id
of the process whose ``/proc/<id>/ns`` leads into them, then waits for the end of its standard input. Run by
file name, standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
FRESH_RUN = "mount -t tmpfs -o mode=755 tmpfs /run"
# With SIGCHLD ignored the kernel reaps what is reparented to this first process: shims, and a crashed
# dockerd's containerd. dash's own trap does not do that.
FIRST_PROCESS = f"{FRESH_RUN} && echo ready && exec env --ignore-signal=CHLD sleep infinity >&-"


def start() -> subprocess.Popen[bytes]:
    """Start the namespaces; they end with the returned process, and that one ends with this one."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *unshare, "sh", "-c", FIRST_PROCESS])


def reap() -> None:
    """Wait for every descendant: the kernel lets go of a PID namespace only when it is empty."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def remove_groups(name: str) -> None:
    """Remove the control groups called ``name`` (version 2, or one per controller of version 1)."""
    top = Path("/sys/fs/cgroup")
    for group in (top / name, *top.glob(f"*/{name}")):
        for folder, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(folder))


def _remove_group(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # A process that has just ended is still counted for an instant.
            time.sleep(0.02)
        else:
            return


def main(folder: str, group: str) -> None:
    """See the module's docstring."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = start()
    print(process.pid, flush=True)
    sys.stdin.read()
    process.kill()
    reap()
    remove_groups(group)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
