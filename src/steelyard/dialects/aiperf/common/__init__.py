"""What `aiperf` plugins and services share."""
