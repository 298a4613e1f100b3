"""What occlusion and RISE are made of: baselines, and passes that compute only what changes."""
