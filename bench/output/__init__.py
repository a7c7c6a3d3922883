"""What a run writes: CSV, tables, plots, and the export to codec-compare."""
