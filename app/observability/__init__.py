"""What people and machines see of the processes: log lines, metrics, traces, and secrets kept out of them."""
