"""Tests of the scan of a folder: planted faults, and healthy twins."""
