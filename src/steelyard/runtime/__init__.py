"""Drivers: event loops, processes, sockets, files, the plugin host, the journal, the bus."""
