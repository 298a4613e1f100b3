"""What stands before the page: limits, headers, health, numbers, logs, and how it stops."""
