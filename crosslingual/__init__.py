"""GPT-2 in another language, or in sixty."""
