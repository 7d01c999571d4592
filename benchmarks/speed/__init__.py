"""Speed beside what a user would take instead and beside the machine's own limit."""
