"""What an operator sees: metrics, statistics, traces and logs."""
