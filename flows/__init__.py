"""Prefect flows and what deploys and serves them.

This package imports nothing: programs in it set their environment before Prefect reads it.
"""
