"""Data sets as scenes: read from disk, decoded once into a cache, batched and augmented on the device."""
