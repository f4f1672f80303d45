"""No input, no output: these mirror the source and take milliseconds."""
