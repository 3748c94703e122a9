"""A picture described in words."""
