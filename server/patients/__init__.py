"""Patients: registered once, numbered, found again while somebody types, and one record each in the end."""

from server.patients import history, records
from server.patients.details import NewPatient, as_kept
from server.patients.forgetting import anonymise
from server.patients.merging import hold_records, merge_record
from server.patients.records import (
    EditPatient,
    PatientRecord,
    access_patient,
    add_patient,
    duplicates_of,
    edit_patient,
    must_be_born,
    patient_record,
    register_patient,
)

COMMANDS = [*records.COMMANDS, *history.COMMANDS]
QUERIES = [*records.QUERIES, *history.QUERIES]

__all__ = [
    "COMMANDS",
    "QUERIES",
    "EditPatient",
    "NewPatient",
    "PatientRecord",
    "access_patient",
    "add_patient",
    "anonymise",
    "as_kept",
    "duplicates_of",
    "edit_patient",
    "hold_records",
    "merge_record",
    "must_be_born",
    "patient_record",
    "register_patient",
]
