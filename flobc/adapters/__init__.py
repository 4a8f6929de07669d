"""One folder per outside system; each implements ports and none knows another."""
