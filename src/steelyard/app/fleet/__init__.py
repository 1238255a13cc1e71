"""A fleet as a whole: one coordinator over ledger, scheduler, engines and plugins."""
