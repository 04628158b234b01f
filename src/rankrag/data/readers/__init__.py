"""One reader a source, or a family of sources: files in, items out."""
