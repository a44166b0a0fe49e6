"""The benchmarks of narrations: moving emoji, what comes next in recipes, and the speed of retrieval."""
