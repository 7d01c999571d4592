"""Quality and speed against peers; each module is one command."""
