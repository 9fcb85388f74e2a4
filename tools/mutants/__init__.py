"""Mutation testing of the pure modules: change the source in one place, and see whether a test fails.

mutmut and cosmic-ray were tried first. mutmut 3.8 names a mutant by its path, so it finds no test for a
module under ``layers/beacon/src``, and it leaves tables and constants of a module alone. cosmic-ray starts
Python and pytest again for each mutant, which takes 3 s here, and edits the checkout itself. In this tool
each mutant is a forked process: the libraries are loaded once, the source on disk stays as it is, and only
the tests run that reach the changed line.
"""
