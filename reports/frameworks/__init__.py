"""Frameworks: what laws and standards ask for, clause by clause, beside the evidence that bears on it.

One data file each, in our own words, with the edition and whether the clause was checked against a published text. A
clause asks, a measurement bears on it, a person attests the rest: whether a duty is met is never said here.
"""
