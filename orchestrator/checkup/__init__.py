"""Findings about a machine, from values alone; ``app/doctor.py`` reads the values."""
