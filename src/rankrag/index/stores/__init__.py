"""What holds the passages of an index: LanceDB in its folder, or a Qdrant server."""
