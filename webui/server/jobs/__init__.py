"""Jobs: the queue, the engine that works it off, and the stream of what happens."""
