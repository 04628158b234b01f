"""Readers: one file a family of formats, each from a file to items."""
