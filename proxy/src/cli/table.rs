//! Tables for people.

use std::io::{Result, Write};

/// Writes rows below their titles, columns aligned; the last column is not padded. Columns of figures are aligned right.
pub(crate) fn write(
    out: &mut dyn Write,
    titles: &[&str],
    figures: &[usize],
    rows: &[Vec<String>],
) -> Result<()> {
    let width = |column: usize, title: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(title.chars().count())
    };
    let widths: Vec<usize> = titles.iter().enumerate().map(|(column, title)| width(column, title)).collect();
    line(out, &widths, figures, titles.iter().copied())?;
    for row in rows {
        line(out, &widths, figures, row.iter().map(String::as_str))?;
    }
    Ok(())
}

fn line<'a>(
    out: &mut dyn Write,
    widths: &[usize],
    figures: &[usize],
    cells: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in cells.zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        let gap = if column > 0 { "  " } else { "" };
        let cell = if figures.contains(&column) {
            format!("{gap}{padding}{cell}")
        } else {
            format!("{gap}{cell}{padding}")
        };
        text.push_str(&cell);
    }
    writeln!(out, "{}", text.trim_end())
}

/// A figure with its thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Nano-dollars as dollars, to a hundredth of a cent.
pub(crate) fn dollars(nano_usd: u64) -> String {
    let hundredths = nano_usd.saturating_add(50_000) / 100_000;
    format!("${}.{:04}", number(hundredths / 10_000), hundredths % 10_000)
}

/// What stands for an absent value.
pub(crate) const ABSENT: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut out = Vec::new();
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1,000".to_owned()]];
        write(&mut out, &["NAME", "N"], &[1], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME      N\na         1\nlong  1,000\n");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(dollars(0), "$0.0000");
        assert_eq!(dollars(1_234_567_000_000), "$1,234.5670");
        assert_eq!(dollars(49_999), "$0.0000");
        assert_eq!(dollars(50_000), "$0.0001");
    }
}
