"""The drivers of a fleet: ledger, engines, and the loop that does what the machine wants."""
