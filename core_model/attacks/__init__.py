"""Attacks on classifiers: who can make the model say something else, and with how little?

A word attack is a goal, constraints, a transformation and a search (Morris et al. 2020, arXiv:2005.05909), each small
and replaceable; `recipes` puts them together under the names of the field, and `lock_step` runs one over many texts at
once. `embedding_space` moves texts where no word is, `triggers` looks for words that change the answer wherever they
stand. All of them return what became of each row; intervals are made of it elsewhere.
"""
