"""The whole pair in one thread: virtual time, a medium in memory, one seed for everything."""
