"""Workflows: one request becomes many, and their pictures a sheet."""
