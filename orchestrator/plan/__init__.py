"""What to do: engine, GPU, port and name for each model, and the steps that lead there. Pure; no I/O, no clock."""
