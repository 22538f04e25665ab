//! Values on their way into and out of the database.

use super::{Error, Result};
use std::sync::Arc;

/// A value: what a parameter is, or what stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueRef<'v> {
    /// Nothing.
    Null,
    /// A number, or a boolean as 0 or 1.
    Integer(i64),
    /// Text.
    Text(&'v str),
    /// Bytes.
    Blob(&'v [u8]),
}

impl<'v> ValueRef<'v> {
    /// The text in it.
    pub(crate) fn as_str(self) -> Result<&'v str> {
        match self {
            ValueRef::Text(text) => Ok(text),
            _ => Err(Error::conversion(0, "no text")),
        }
    }

    /// The bytes in it.
    pub(crate) fn as_blob(self) -> Result<&'v [u8]> {
        match self {
            ValueRef::Blob(bytes) => Ok(bytes),
            _ => Err(Error::conversion(0, "no bytes")),
        }
    }

    /// What SQLite says; nothing where it is a kind of value that the ledger does not have.
    pub(super) fn of_sqlite(value: rusqlite::types::ValueRef<'v>) -> Option<ValueRef<'v>> {
        use rusqlite::types::ValueRef as Value;
        Some(match value {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(std::str::from_utf8(text).ok()?),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
            Value::Real(_) => return None,
        })
    }
}

impl rusqlite::ToSql for ValueRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef as Value};
        Ok(ToSqlOutput::Borrowed(match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Text(text) => Value::Text(text.as_bytes()),
            ValueRef::Blob(bytes) => Value::Blob(bytes),
        }))
    }
}

/// What can be a parameter.
pub(crate) trait ToSql {
    /// It as a value.
    fn to_value(&self) -> ValueRef<'_>;
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn to_value(&self) -> ValueRef<'_> {
        (**self).to_value()
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn to_value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, ToSql::to_value)
    }
}

impl ToSql for ValueRef<'_> {
    fn to_value(&self) -> ValueRef<'_> {
        *self
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(
            impl ToSql for $number {
                fn to_value(&self) -> ValueRef<'_> {
                    ValueRef::Integer(i64::from(*self))
                }
            }

            impl FromSql for $number {
                fn from_sql(value: ValueRef<'_>) -> Option<$number> {
                    let ValueRef::Integer(number) = value else { return None };
                    number.try_into().ok()
                }
            }
        )*
    };
}

numbers!(i64, u32, u8);

impl ToSql for bool {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Integer(i64::from(*self))
    }
}

macro_rules! texts {
    ($($text:ty),*) => {
        $(
            impl ToSql for $text {
                fn to_value(&self) -> ValueRef<'_> {
                    ValueRef::Text(self)
                }
            }
        )*
    };
}

texts!(str, String, Box<str>, Arc<str>);

impl ToSql for Vec<u8> {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl ToSql for [u8] {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<const N: usize> ToSql for [u8; N] {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

/// What can be read from a column.
pub(crate) trait FromSql: Sized {
    /// It, if the value is of its kind and within its range.
    fn from_sql(value: ValueRef<'_>) -> Option<Self>;
}

impl FromSql for bool {
    fn from_sql(value: ValueRef<'_>) -> Option<bool> {
        i64::from_sql(value).map(|number| number != 0)
    }
}

impl FromSql for String {
    fn from_sql(value: ValueRef<'_>) -> Option<String> {
        value.as_str().ok().map(str::to_owned)
    }
}

impl FromSql for Arc<str> {
    fn from_sql(value: ValueRef<'_>) -> Option<Arc<str>> {
        value.as_str().ok().map(Arc::from)
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: ValueRef<'_>) -> Option<Vec<u8>> {
        value.as_blob().ok().map(<[u8]>::to_vec)
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_sql(value: ValueRef<'_>) -> Option<[u8; N]> {
        value.as_blob().ok()?.try_into().ok()
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: ValueRef<'_>) -> Option<Option<T>> {
        if value == ValueRef::Null { Some(None) } else { T::from_sql(value).map(Some) }
    }
}

/// The parameters of a statement: `[]`, some of one type, or what [`params!`](super::params) makes of several types.
pub(crate) trait Params {
    /// Their values, in order.
    fn values(&self) -> Vec<ValueRef<'_>>;
}

impl Params for [&dyn ToSql; 0] {
    fn values(&self) -> Vec<ValueRef<'_>> {
        Vec::new()
    }
}

impl Params for &[&dyn ToSql] {
    fn values(&self) -> Vec<ValueRef<'_>> {
        self.iter().map(|value| value.to_value()).collect()
    }
}

impl Params for &[ValueRef<'_>] {
    fn values(&self) -> Vec<ValueRef<'_>> {
        self.to_vec()
    }
}

// Not for every length: `[]` says nothing of its type.
macro_rules! arrays {
    ($($length:literal),*) => {
        $(
            impl<T: ToSql> Params for [T; $length] {
                fn values(&self) -> Vec<ValueRef<'_>> {
                    self.iter().map(ToSql::to_value).collect()
                }
            }
        )*
    };
}

arrays!(1, 2, 3, 4);
