"""Looks at everything a chain's services need and says what is wrong and how to mend it; changes nothing."""

from flobc.composition.doctor.examination import Subject, examine, find_subject
from flobc.composition.doctor.findings import Finding

__all__ = ["Finding", "Subject", "examine", "find_subject"]
