"""Reading digits from pictures; needs neither torch nor a trained network of your own."""
