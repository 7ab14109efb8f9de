"""The fault campaign: things are broken on purpose, and the command line is held to what it says and leaves.

In ``make test`` each fault is injected once, and what takes minutes is left out (the mark ``long``); ``make
test-faults`` runs all of it and writes docs/reliability.md.
"""
