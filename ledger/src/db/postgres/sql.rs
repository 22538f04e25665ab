//! The ledger's SQL in PostgreSQL's words.

/// Writes parameters as `$1` in the place of `?1`, and leaves out which index SQLite is to take. Quoted text stays as it is.
pub(super) fn translate(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut quote: Option<char> = None;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        if quote.is_none()
            && let Some(after) = rest.strip_prefix("INDEXED BY ")
        {
            rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            continue;
        }
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        out.push(if quote.is_none() && c == '?' { '$' } else { c });
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_hints_are_translated_and_quotes_kept() {
        for (sqlite, postgres) in [
            ("a = ?1 AND b = ?12", "a = $1 AND b = $12"),
            ("a = '?1''?2' AND \"?3\" = ?4", "a = '?1''?2' AND \"?3\" = $4"),
            ("FROM s INDEXED BY s_by_time WHERE ä = ?1", "FROM s  WHERE ä = $1"),
            ("'INDEXED BY x'", "'INDEXED BY x'"),
        ] {
            assert_eq!(translate(sqlite), postgres);
        }
    }
}
