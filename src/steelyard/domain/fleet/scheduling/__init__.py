"""Deciding who does what next: the queue, what is known of workers, and what schedulers share."""
