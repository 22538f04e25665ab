//! `${VAR}`, `${VAR:-default}` and `$$` in scalars.

/// Why a scalar cannot be expanded. Holds names of variables, never their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The variable is not set and there is no default.
    Undefined(String),
    /// `${` without `}`.
    Unclosed,
    /// What stands between the braces is not a name, or not a name and a default.
    Name,
    /// A `$` before something other than `{` and `$`.
    Dollar,
}

impl Fault {
    /// The fault as message and suggestion.
    pub(super) fn describe(&self) -> (String, String) {
        let (message, suggestion) = match self {
            Fault::Undefined(name) => (
                format!("the environment variable {name} is not set"),
                format!("set {name}, or give a default: ${{{name}:-default}}"),
            ),
            Fault::Unclosed => {
                ("`${` without a closing `}`".into(), "write ${NAME}, or $$ for a plain dollar".into())
            }
            Fault::Name => (
                "not the name of a variable between `${` and `}`".into(),
                "write ${NAME} or ${NAME:-default}; names are letters, digits and underscores".into(),
            ),
            Fault::Dollar => (
                "a single `$` has no meaning here".into(),
                "write ${NAME} for a variable, $$ for a plain dollar".into(),
            ),
        };
        (message, suggestion)
    }
}

/// Expands `text`, asking `variable` for values; those are not expanded again. `None` when there was nothing to do.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Fault> {
    if !text.contains('$') {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else { return Err(Fault::Dollar) };
        let Some((inner, tail)) = inner.split_once('}') else { return Err(Fault::Unclosed) };
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(Fault::Name);
        }
        match (variable(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => return Err(Fault::Undefined(name.to_owned())),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Option<&str>, Fault>) {
        let variable = |name: &str| match name {
            "KEY" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${KEY}".to_owned()),
            _ => None,
        };
        assert_eq!(expand(text, &variable), expected.map(|text| text.map(str::to_owned)), "{text}");
    }

    #[test]
    fn variables_defaults_and_escapes() {
        check("plain", Ok(None));
        check("${KEY}", Ok(Some("value")));
        check("a${KEY}b${KEY}", Ok(Some("avaluebvalue")));
        check("${NOPE:-x}", Ok(Some("x")));
        check("${NOPE:-}", Ok(Some("")));
        check("${EMPTY:-x}", Ok(Some("x")));
        check("${EMPTY}", Ok(Some("")));
        check("$$5 $${KEY}", Ok(Some("$5 ${KEY}")));
        check("${NESTED}", Ok(Some("${KEY}")));
    }

    #[test]
    fn faults() {
        check("${NOPE}", Err(Fault::Undefined("NOPE".into())));
        check("${KEY", Err(Fault::Unclosed));
        check("${}", Err(Fault::Name));
        check("${1X}", Err(Fault::Name));
        check("${KEY-x}", Err(Fault::Name));
        check("$KEY", Err(Fault::Dollar));
        check("5$", Err(Fault::Dollar));
    }
}
