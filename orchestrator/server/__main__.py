"""``python3 -m server``: loads one model and serves it.

Exit codes: 143 stopped by SIGTERM, once what ran has ended; 2 a configuration that a restart can't heal (one line on
stderr says what); 1 anything else.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from threading import Event

from . import auth
from .config import Config, parse
from .errors import UnhealableError
from .families import FAMILIES

#: Seconds that requests in flight get to end in after SIGTERM; the gate waits 25 s before it kills.
_GRACE = 15


def main(argv: Sequence[str]) -> int:
    """Runs the server until it is stopped."""
    config = parse(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # transformers' progress bars would fill the log with thousands of lines.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Taken out of the environment: nothing that is loaded later has to see it.
    key = os.environ.pop(auth.VARIABLE, "")
    if config.require_api_key and not key:
        sys.stderr.write(f"server: --require-api-key: {auth.VARIABLE} is not set or empty\n")
        return 2
    try:
        serve(config, key)
    except UnhealableError as error:
        sys.stderr.write(f"server: {error}\n")
        return 2
    except Exception as error:
        logging.getLogger("server").exception("stopped by an error")
        # Once more in one line, the last of the log: the gate shows it as the reason.
        sys.stderr.write(f"server: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
        return 1
    return 0


def serve(config: Config, key: str = "") -> None:
    """Loads the model, then listens: the port refuses until an answer can be given."""
    import uvicorn  # noqa: PLC0415 (heavy imports wait until the command line is known to be right)
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    from .app import create_app  # noqa: PLC0415
    from .engine import engine_for, gpu_memory  # noqa: PLC0415
    from .scheduler import Scheduler  # noqa: PLC0415
    from .weights import locate  # noqa: PLC0415

    transformers_logging.disable_progress_bar()
    log = logging.getLogger("server")
    family = importlib.import_module(f".families.{FAMILIES[config.family]}", __package__)
    engine = engine_for(family.load(locate(config), config), config)
    lost = Event()

    class Server(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, *args: object, **kwargs: object) -> None:
            await super().startup(*args, **kwargs)
            log.info("ready: %s on %s:%d", config.served_name, config.host, config.port)

        async def shutdown(self, *args: object, **kwargs: object) -> None:
            scheduler.stop()
            await super().shutdown(*args, **kwargs)

    def stop() -> None:
        lost.set()
        server.should_exit = True

    scheduler = Scheduler(engine, config.max_queue, lost=stop)
    server = Server(
        uvicorn.Config(
            create_app(config, scheduler, key, gpu_memory),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    server.run()
    if lost.is_set():
        raise RuntimeError("the GPU is lost to this process; a new one may find it well")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
