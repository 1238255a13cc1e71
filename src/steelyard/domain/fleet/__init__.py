"""Tasks, workers, leases and attempts: who may do what, decided without a clock or a socket."""
