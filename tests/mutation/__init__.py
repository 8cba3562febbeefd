"""How many small faults in the code the everyday tests notice: ``make mutants`` (``tests.mutation.__main__``)."""
