"""The kinds of jobs, a folder each: what is asked for, how the engine does it, what the server does around it."""
