//! Rows of measurements: printed as a table, and written as JSON.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::machine;
use super::statistics::{median, median_interval, sorted};

/// A measured quantity, with its value in each round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Part of the benchmark.
    pub(crate) part: &'static str,
    /// Prefixes, or filter, that were measured.
    pub(crate) set: String,
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    /// Why the values cannot be trusted. Such values are not shown.
    pub(crate) error: Option<String>,
}

/// All rows, in the order of their first values.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// Adds the values of one round, or the error that prevented them.
    pub(crate) fn add<const N: usize>(
        &mut self,
        part: &'static str,
        set: &str,
        quantities: [(&str, &'static str); N],
        values: Result<[f64; N]>,
    ) {
        let (values, error) = match values {
            Ok(values) => (values.map(Some), None),
            Err(error) => ([None; N], Some(format!("{error:#}"))),
        };
        for ((what, unit), value) in quantities.into_iter().zip(values) {
            let row = self.row(part, set, what, unit);
            row.values.extend(value);
            if row.error.is_none() {
                row.error.clone_from(&error);
            }
        }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.0
    }

    /// Number of rows whose values cannot be trusted.
    pub(crate) fn failed(&self) -> usize {
        self.0.iter().filter(|row| row.error.is_some()).count()
    }

    /// Prints median, smallest and largest value of each row, by part and set.
    pub(crate) fn print(&self) {
        let mut shown = ("", "");
        for row in &self.0 {
            if (row.part, row.set.as_str()) != shown {
                println!("\n{}: {}", row.part, row.set);
                shown = (row.part, &row.set);
            }
            println!("  {}", row.describe());
        }
    }

    /// Writes all values and the description of the machine.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let rows: Vec<Value> = self.0.iter().map(Row::to_json).collect();
        let document = json!({"machine": machine::describe(), "rows": rows});
        fs::write(file, serde_json::to_string_pretty(&document)? + "\n")?;
        Ok(())
    }

    fn row(&mut self, part: &'static str, set: &str, what: &str, unit: &'static str) -> &mut Row {
        let at = self
            .0
            .iter()
            .position(|row| (row.part, &*row.set, &*row.what) == (part, set, what));
        let at = at.unwrap_or_else(|| {
            self.0.push(Row {
                part,
                set: set.to_owned(),
                what: what.to_owned(),
                unit,
                values: Vec::new(),
                error: None,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        median(&sorted(&self.values))
    }

    fn describe(&self) -> String {
        let Self { what, unit, .. } = self;
        if let Some(error) = &self.error {
            return format!("{what:40} ERROR {error}");
        }
        let sorted = sorted(&self.values);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return format!("{what:40} no value");
        };
        let interval = median_interval(&sorted).map_or_else(String::new, |(low, high)| {
            format!("; the median with 95 %: {low:.3} – {high:.3}")
        });
        format!(
            "{what:40} {:>9.3} {unit:11} ({least:.3} – {most:.3}, {} times{interval})",
            median(&sorted),
            sorted.len()
        )
    }

    fn to_json(&self) -> Value {
        json!({
            "part": self.part, "set": self.set, "what": self.what, "unit": self.unit,
            "median": self.error.is_none().then(|| self.median()),
            "interval": self.error.is_none().then(|| median_interval(&sorted(&self.values))),
            "values": self.values, "error": self.error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_failed_makes_the_row_an_error() {
        let mut report = Report::default();
        let what = [("rate", "Mpps")];
        report.add("drop", "a", what, Ok([1.0]));
        report.add(
            "drop",
            "a",
            what,
            Err(anyhow::anyhow!("the sink took in 3")),
        );
        report.add("drop", "a", what, Ok([2.0]));
        let [row] = report.rows() else {
            panic!("one row");
        };
        assert!(row.describe().ends_with("ERROR the sink took in 3"));
        assert_eq!(report.failed(), 1);
        assert_eq!(row.to_json()["median"], Value::Null);
    }
}
