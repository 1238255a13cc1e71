"""Phase hooks: told of each phase as it begins and ends."""
