"""Checkpoints merged into a new one."""
