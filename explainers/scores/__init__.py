"""What is said about maps: agreement, sanity checks, plots and reports."""
