"""The settings that files and Docker both know, each with the words for it, Compose's key and Docker's.

Both sides of a comparison take the words from here, so they can't differ for want of a word. "" where one has no key.
Docker's keys are those of ``Config`` and of ``HostConfig``, which have none in common.
"""

from __future__ import annotations

Setting = tuple[str, str, str]

#: made or not, and otherwise without a value
FLAGS: tuple[Setting, ...] = (
    ("init", "init", "Init"),
    ("read-only root", "read_only", "ReadonlyRootfs"),
    ("privileged", "privileged", "Privileged"),
    ("terminal", "tty", "Tty"),
    ("removed when it ends", "", "AutoRemove"),
)
TEXTS: tuple[Setting, ...] = (
    ("name", "container_name", ""),
    ("image", "image", ""),
    ("user", "user", "User"),
    ("host name", "hostname", "Hostname"),
    ("working folder", "working_dir", "WorkingDir"),
    ("stop signal", "stop_signal", "StopSignal"),
    ("runtime", "runtime", "Runtime"),
    ("process namespace", "pid", "PidMode"),
    ("IPC namespace", "ipc", "IpcMode"),
    ("UTS namespace", "uts", "UTSMode"),
    ("user namespace", "userns_mode", "UsernsMode"),
    ("CPU shares", "cpu_shares", "CpuShares"),
    ("CPU set", "cpuset", "CpusetCpus"),
    ("OOM score", "oom_score_adj", "OomScoreAdj"),
    ("CPU quota", "", "CpuQuota"),
    ("IO weight", "", "BlkioWeight"),
)
SIZES: tuple[Setting, ...] = (
    ("shared memory", "shm_size", "ShmSize"),
    ("memory limit", "mem_limit", "Memory"),
    ("memory reservation", "mem_reservation", "MemoryReservation"),
)
LISTS: tuple[Setting, ...] = (
    ("DNS servers", "dns", "Dns"),
    ("extra hosts", "extra_hosts", "ExtraHosts"),
    ("groups", "group_add", "GroupAdd"),
    ("devices", "devices", ""),
    ("volumes from", "", "VolumesFrom"),
)
#: of a health check
TIMES: tuple[Setting, ...] = (
    ("health check interval", "interval", "Interval"),
    ("health check timeout", "timeout", "Timeout"),
    ("health check start period", "start_period", "StartPeriod"),
    ("health check start interval", "start_interval", "StartInterval"),
)
