"""orchestrator: a manager for model containers on Docker."""

__version__ = "0.1.0"
