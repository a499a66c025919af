"""Keep Pass@k while reinforcement learning raises Pass@1."""

__version__ = "0.1.0"
