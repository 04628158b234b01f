"""Reading and encoding spread over the machines of a Ray cluster."""
