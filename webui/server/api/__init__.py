"""The HTTP API that A1111's clients speak, below `/sdapi/v1`."""
