"""The steps of `polygraft transfer`: what is read, the new tokenizer, the folder, the report."""
