"""The sets of a benchmark of personalised captioning: emoji named by many communities, clip art by many authors."""
