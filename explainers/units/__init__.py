"""What single units see: receptive fields, mosaics, what drives a unit most, video."""
