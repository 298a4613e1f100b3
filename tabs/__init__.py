"""The page: widgets and wiring, no maths."""
