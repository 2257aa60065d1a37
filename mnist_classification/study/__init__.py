"""Recipes × seeds → results → statistics → tables."""
