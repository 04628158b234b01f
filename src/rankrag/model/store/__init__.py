"""Models by name: where their files come from, whether they are whole, and what they are."""
