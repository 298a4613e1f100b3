"""Where networks come from: the catalogue, weights and their checks, and what a network holds."""
