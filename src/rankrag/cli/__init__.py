"""The command line, one file a verb; `load.py` is the only place that puts pieces together."""
