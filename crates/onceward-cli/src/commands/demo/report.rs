//! What the demo came to: a table for people, one object for machines.

use std::process::ExitCode;

use comfy_table::{CellAlignment, LineStyle, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Serialize;

use crate::{
    commands::{print, print_json},
    failure::Failure,
};

/// Both runs of every scenario.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
}

/// Both runs of one scenario; the members of its JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) attempts: usize,
    pub(super) orders_without: usize,
    pub(super) orders_with: usize,
    pub(super) in_doubt: u64,
    /// The last answer that the agent got, with onceward.
    pub(super) told: String,
    /// The promises that were not kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) broken: Vec<String>,
}

impl Report {
    /// Prints it; the exit code says whether every promise was kept.
    pub(super) fn print(&self, json: bool) -> Result<ExitCode, Failure> {
        if json {
            print_json(&Document { scenarios: &self.rows, ok: self.is_ok() })?;
        } else {
            print(&format!("{}\n\n{}", self.table(), self.conclusion()))?;
        }
        Ok(if self.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn is_ok(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.broken.is_empty())
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        // Without lines between the rows, the two schemes of a scenario stand together.
        table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none())).set_header([
            "scenario",
            "attempts",
            "orders\nwithout",
            "orders\nwith",
            "in\ndoubt",
            "what the agent was told",
        ]);
        for row in &self.rows {
            table.add_row([
                row.name.clone(),
                row.attempts.to_string(),
                row.orders_without.to_string(),
                row.orders_with.to_string(),
                row.in_doubt.to_string(),
                row.told.clone(),
            ]);
        }
        for column in table.column_iter_mut().skip(1).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }

    fn conclusion(&self) -> String {
        if !self.is_ok() {
            return self
                .rows
                .iter()
                .flat_map(|row| {
                    row.broken.iter().map(|promise| format!("NOT KEPT, {}: {promise}\n", row.name))
                })
                .collect();
        }
        let wishes = self.rows.len();
        let attempts: usize = self.rows.iter().map(|row| row.attempts).sum();
        let orders_without: usize = self.rows.iter().map(|row| row.orders_without).sum();
        let orders_with: usize = self.rows.iter().map(|row| row.orders_with).sum();
        format!(
            "{wishes} orders wanted, {attempts} attempts: booked {orders_without} times without onceward, {orders_with} with it.\n\
             Next: `onceward proxy`, point your agent at it, and stamp each submit with the field x-idem-key.\n"
        )
    }
}

#[derive(Serialize)]
struct Document<'a> {
    scenarios: &'a [Row],
    ok: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, orders_with: usize, broken: &[&str]) -> Row {
        Row {
            name: name.to_owned(),
            attempts: 3,
            orders_without: 3,
            orders_with,
            in_doubt: 1,
            told: "outcome unknown: do not submit again".to_owned(),
            broken: broken.iter().map(|promise| (*promise).to_owned()).collect(),
        }
    }

    #[test]
    fn a_broken_promise_is_named_and_is_a_failure() {
        let report =
            Report { rows: vec![row("kept, http", 1, &[]), row("broken, http", 2, &["there is one order"])] };
        assert!(!report.is_ok());
        assert_eq!(report.conclusion(), "NOT KEPT, broken, http: there is one order\n");
    }

    #[test]
    fn the_conclusion_counts_and_names_the_next_command() {
        let report = Report { rows: vec![row("kept, http", 1, &[]), row("kept, https", 1, &[])] };
        assert!(report.is_ok());
        assert_eq!(
            report.conclusion(),
            "2 orders wanted, 6 attempts: booked 6 times without onceward, 2 with it.\n\
             Next: `onceward proxy`, point your agent at it, and stamp each submit with the field x-idem-key.\n"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_row() {
        let report = Report { rows: vec![row("kept, http", 1, &[])] };
        let table = report.table();
        let (rows, rules): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| line.starts_with(' '));
        assert_eq!(
            rows,
            [
                " scenario     attempts    orders   orders      in   what the agent was told",
                "                         without     with   doubt",
                " kept, http          3         3        1       1   outcome unknown: do not submit again",
            ]
        );
        assert_eq!(rules.len(), 3);
    }

    #[test]
    fn nothing_played_is_nothing_proven() {
        assert!(!Report::default().is_ok());
    }
}
