"""What a tracked run is, and every decision about it; nothing here reads a clock or a file."""
