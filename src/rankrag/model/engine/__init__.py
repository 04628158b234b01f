"""The language model on this machine: tokens, weights, passes and what is remembered between them."""
