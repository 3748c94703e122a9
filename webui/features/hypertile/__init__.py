"""Self-attention within tiles."""
