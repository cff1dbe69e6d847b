"""Signatures of records: who vouches for exactly these bytes, and for exactly this checkpoint's."""
