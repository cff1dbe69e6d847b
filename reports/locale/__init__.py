"""Catalogues of the report's texts, the vocabulary of the audits, and the template for catalogues of one's own.

`python -m reports.locale` collects the texts again from the code, the templates and the vocabulary.
"""
