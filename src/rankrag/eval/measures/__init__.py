"""The measures: of a text, of a ranking, of abstaining and of citations. Fractions are 0..1."""
