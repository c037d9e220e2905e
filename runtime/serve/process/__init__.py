"""The server as a process: its parent, its pipes, where it listens, what it prints."""
