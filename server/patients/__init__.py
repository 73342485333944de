"""Patients: registered once, numbered, and found again while somebody types."""

from server.patients.records import (
    COMMANDS,
    QUERIES,
    EditPatient,
    NewPatient,
    PatientRecord,
    access_patient,
    add_patient,
    edit_patient,
    patient_record,
    register_patient,
)

__all__ = [
    "COMMANDS",
    "QUERIES",
    "EditPatient",
    "NewPatient",
    "PatientRecord",
    "access_patient",
    "add_patient",
    "edit_patient",
    "patient_record",
    "register_patient",
]
