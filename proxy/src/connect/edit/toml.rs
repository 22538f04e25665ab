//! TOML, changed in place.

use super::EditError;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        EditError::Malformed { line, what: error.message().trim().replace('\n', "; ") }
    })
}

fn find<'a>(document: &'a DocumentMut, path: &[&str]) -> Option<&'a Item> {
    path.iter().try_fold(document.as_item(), |item, name| item.as_table_like()?.get(name))
}

pub(super) fn get(text: &str, path: &[&str]) -> Result<Option<String>, EditError> {
    let document = parse(text)?;
    let value = find(&document, path).and_then(Item::as_value);
    Ok(value.map(|value| value.clone().decorated("", "").to_string()))
}

pub(super) fn has(text: &str, path: &[&str]) -> Result<bool, EditError> {
    Ok(find(&parse(text)?, path).is_some())
}

pub(super) fn is_empty(text: &str, path: &[&str]) -> Result<bool, EditError> {
    let document = parse(text)?;
    if path.is_empty() {
        return Ok(document.iter().next().is_none() && text.trim().is_empty());
    }
    Ok(find(&document, path).and_then(Item::as_table_like).is_some_and(TableLike::is_empty))
}

pub(super) fn set(text: &str, path: &[&str], raw: &str) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let mut value: Value = raw
        .parse()
        .map_err(|_error| EditError::Malformed { line: 1, what: "a value that is not TOML".to_owned() })?;
    let Some((name, above)) = path.split_last() else { return Ok(text.to_owned()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (depth, step) in above.iter().enumerate() {
        let last = depth + 1 == above.len();
        let item = table.entry(step).or_insert_with(|| {
            let mut made = Table::new();
            // A table on the way needs no head of its own.
            made.set_implicit(!last);
            Item::Table(made)
        });
        let Some(next) = item.as_table_like_mut() else {
            let way = path.get(..=depth).unwrap_or_default();
            return Err(EditError::NotATable(way.join(".")));
        };
        table = next;
    }
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            // The comment behind the old value stays.
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(name, Item::Value(value));
        }
    }
    Ok(document.to_string())
}

pub(super) fn remove(text: &str, path: &[&str]) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let Some((name, above)) = path.split_last() else { return Ok(text.to_owned()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for step in above {
        let Some(next) = table.get_mut(step).and_then(Item::as_table_like_mut) else {
            return Ok(text.to_owned());
        };
        table = next;
    }
    if table.remove(name).is_none() {
        return Ok(text.to_owned());
    }
    Ok(document.to_string())
}

pub(super) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

pub(super) fn unquote(raw: &str) -> Option<String> {
    raw.parse::<Value>().ok()?.as_str().map(str::to_owned)
}
