"""The record of an audit, and the documents made from it. Runs no model, imports no other folder."""
