"""Attention in 32 bits."""
