"""What multiple instance learning is made of: cutting patches, scoring them, and a lesson."""
