"""Real text from packages that a machine can have without a hub: found, checked, read in place, never kept here.

One file a source. `libreoffice_help`: English and German sentences. `package_descriptions`: translations, synopses and
plain text from Debian's package index. `news_and_questions`: XSum and BoolQ. `smollm2`: a causal language model.
Archives are read member by member and not unpacked; a file that is not the one whose sha256 is known is refused.
"""
