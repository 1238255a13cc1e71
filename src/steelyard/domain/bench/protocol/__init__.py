"""What batteries share: SSE framing and the request shapes of the field."""
