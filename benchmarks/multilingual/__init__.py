"""The multilingual benchmark and starter: text of seventeen languages, and runs of commands on it."""
