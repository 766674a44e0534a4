"""The processor `probabilistic_sampler`: its settings, and what it does."""
