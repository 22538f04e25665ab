//! Files of comma-separated values (RFC 4180), as spreadsheets and providers' consoles write them.

use anyhow::{Result, bail};

/// Largest file that is read, in bytes.
pub(crate) const CSV_BYTES_MAX: u64 = 256 << 20;

/// Rows of cells. A byte order mark before the first is left out, and so are empty lines.
///
/// # Errors
/// When a quote is not closed, or stands where none may be.
pub(crate) fn rows(text: &str) -> Result<Vec<Vec<String>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut letters = text.chars().peekable();
    let (mut line, mut was_quoted) = (1, false);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if cell.is_empty() && !was_quoted => {
                was_quoted = true;
                let began = line;
                loop {
                    match letters.next() {
                        Some('"') if letters.peek() == Some(&'"') => cell.extend(letters.next()),
                        Some('"') => break,
                        Some(letter) => {
                            line += usize::from(letter == '\n');
                            cell.push(letter);
                        }
                        None => bail!("the quote in line {began} is not closed"),
                    }
                }
            }
            '"' => bail!("line {line}: a quote inside of a cell that does not begin with one"),
            ',' => {
                row.push(std::mem::take(&mut cell));
                was_quoted = false;
            }
            '\n' | '\r' => {
                line += usize::from(letter == '\n');
                if !row.is_empty() || !cell.is_empty() || was_quoted {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                was_quoted = false;
            }
            letter if was_quoted => bail!("line {line}: {letter:?} behind a closing quote"),
            letter => cell.push(letter),
        }
    }
    if !row.is_empty() || !cell.is_empty() || was_quoted {
        row.push(cell);
        rows.push(row);
    }
    Ok(rows)
}

/// A cell as it is written: in quotes where it needs them. What a spreadsheet would take for a formula is text.
pub(crate) fn cell(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_may_be_quoted_and_lines_end_in_two_ways() {
        let text = "\u{feff}a,b\r\n\"1, \"\"2\"\"\n3\",\n\n\"\",x";
        let expected = [vec!["a", "b"], vec!["1, \"2\"\n3", ""], vec!["", "x"]];
        assert_eq!(rows(text).unwrap(), expected);
        assert_eq!(rows("").unwrap(), Vec::<Vec<String>>::new());
        for wrong in ["a,\"b", "a\"b", "\"a\"b"] {
            assert!(rows(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_formula_is_written_as_text() {
        assert_eq!(
            (cell("=1+1"), cell("a,\"b"), cell("-1.5")),
            ("'=1+1".into(), "\"a,\"\"b\"".into(), "-1.5".into())
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in proptest::collection::vec(proptest::collection::vec("[a-z,\"\n ]{1,8}", 1..5), 0..6)) {
            let lines: Vec<String> = table.iter().map(|row| row.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",")).collect();
            prop_assert_eq!(rows(&lines.join("\n")).unwrap(), table);
        }

        #[test]
        fn nothing_panics(text in "[a\",\n\r]{0,40}") {
            let _ = rows(&text);
        }
    }
}
