"""The server process: the queue of jobs, the HTTP API, the page. Never imports torch."""
