"""What every layer may use: errors, ids, units, clock, events, codec, finite numbers."""
