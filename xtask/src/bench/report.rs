//! Rows of measurements: a table to read, and a file to compare with.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::machine;

/// One quantity, measured some times.
pub(crate) struct Row {
    set: String,
    what: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Row {
    pub(crate) fn new(set: &str, what: &str, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            set: set.to_owned(),
            what: what.to_owned(),
            unit,
            values,
        }
    }

    fn median(&self) -> f64 {
        self.values[self.values.len() / 2]
    }

    fn ends(&self) -> [f64; 2] {
        [self.values[0], self.values[self.values.len() - 1]]
    }
}

/// All rows of a run.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Median, least and most of each row.
    pub(crate) fn print(&self) {
        let mut set = "";
        for row in &self.0 {
            if row.set != set {
                println!("\n{}", row.set);
                set = &row.set;
            }
            let [least, most] = row.ends();
            println!(
                "  {:<32} {:>9.3} {:<11} ({least:.3} – {most:.3}, {} times)",
                row.what,
                row.median(),
                row.unit,
                row.values.len()
            );
        }
    }

    /// `bench/results/NAME.json`.
    pub(crate) fn write(&self, root: &Path, name: &str) -> Result<()> {
        let rows = self.0.iter().map(|row| {
            json!({
                "set": row.set, "what": row.what, "unit": row.unit,
                "median": row.median(), "values": row.values,
            })
        });
        let document =
            json!({"machine": machine::describe(), "rows": rows.collect::<Vec<Value>>()});
        let folder = root.join("bench/results");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")?;
        println!("\nwritten to {}", file.display());
        Ok(())
    }
}
