//! Markdown tables.

use std::fmt;

/// A table with a caption. Numbers stand to the right, all but the first `texts` columns.
pub(crate) struct Table {
    caption: String,
    texts: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(caption: impl Into<String>, texts: usize, columns: &[&str]) -> Self {
        Self {
            caption: caption.into(),
            texts,
            rows: vec![columns.iter().map(|&column| column.to_owned()).collect()],
        }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        writeln!(f, "\n### {}\n", self.caption)?;
        for (index, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if column < self.texts {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let end = if column < self.texts { '-' } else { ':' };
                    write!(f, "| {}{end} ", "-".repeat(width - 1))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// What is measured beside what is wanted.
pub(crate) fn target(met: bool, wanted: impl fmt::Display) -> String {
    format!("{wanted} {}", if met { "✓" } else { "✗" })
}

/// Mebibytes with one decimal.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", as_f64(bytes) / f64::from(1 << 20))
}

/// A whole number as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "nothing counted here comes near 2^53"
)]
pub(crate) fn as_f64(n: u64) -> f64 {
    n as f64
}
