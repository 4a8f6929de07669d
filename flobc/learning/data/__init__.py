"""Reading, splitting and fetching data sets."""
