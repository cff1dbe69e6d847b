"""The selftest: audits on trial, with checkpoints that were made sick on purpose and their healthy twins.

    from audit.registry import installed
    from audit.selftest.trials import run_selftest

    run_selftest(installed(), plan).results     # of each control: power, false alarms, and their intervals

The answer to NIST AI RMF MEASURE 2.13 (are the metrics and the process of testing themselves effective?): an audit
that finds nothing wrong says something only where it is known to find what is wrong.
"""
