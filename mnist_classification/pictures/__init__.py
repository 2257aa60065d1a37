"""Figures, t-SNE and the interactive page."""
