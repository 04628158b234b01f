"""What stands between a client and the routes: who may come in, how much, and what a failure becomes."""
