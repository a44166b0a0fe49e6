"""Language model training: data, mixtures, objectives, memory plans, bits per byte."""
