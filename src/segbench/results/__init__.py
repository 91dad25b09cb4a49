"""What is measured, written and read: records, the sources of a report, and the outcome of a gate."""
