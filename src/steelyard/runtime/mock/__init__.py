"""The simulated inference server: known truth for an instrument. Shares no code with the client."""
