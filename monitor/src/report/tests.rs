//! Tests of all formats on one report.
