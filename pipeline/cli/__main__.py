"""`python -m pipeline.cli` is the `vae-anomaly` command."""

from pipeline.cli import main

main()
