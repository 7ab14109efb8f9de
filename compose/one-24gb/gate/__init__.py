"""The gate: the small supervisor that runs inside every model container, standard library only.

It runs on the Python of any image (3.8 or newer) and imports nothing of the rest of orchestrator. What it
does and why is in ``docs/gate.md``.
"""
