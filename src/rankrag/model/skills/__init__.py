"""What one language model is used for: ranking, answering, citing; within a budget, calibrated."""
