"""The server: sockets, threads, processes, signals, and where log lines go."""
