"""There is no class of requests."""

Request = 7
