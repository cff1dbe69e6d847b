"""The audits, one file (or folder) a concern. An audit never imports another."""
