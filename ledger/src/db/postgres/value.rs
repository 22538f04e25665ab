//! Values on PostgreSQL's wire: each in the form of the type that the server wants or has.

use crate::db::ValueRef;
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

type Failed = Box<dyn Error + Sync + Send>;

impl ToSql for ValueRef<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match *self {
            ValueRef::Null => return Ok(IsNull::Yes),
            ValueRef::Integer(number) if *kind == Type::INT8 => out.put_i64(number),
            ValueRef::Integer(number) if *kind == Type::INT4 => out.put_i32(number.try_into()?),
            ValueRef::Integer(number) if *kind == Type::BOOL => out.put_u8(u8::from(number != 0)),
            ValueRef::Text(text) if is_text(kind) => put_text(text, out),
            ValueRef::Blob(bytes) if *kind == Type::BYTEA => out.put_slice(bytes),
            _ => return Err(format!("a parameter of type {kind} is given another kind of value").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        self.to_sql(kind, out)
    }
}

/// PostgreSQL keeps no character of value 0, and what a caller sends may hold one: it is kept as the character that stands for
/// what cannot be shown.
fn put_text(text: &str, out: &mut BytesMut) {
    let mut parts = text.split('\0');
    out.put_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.put_slice("\u{FFFD}".as_bytes());
        out.put_slice(part.as_bytes());
    }
}

fn is_text(kind: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::NAME, Type::UNKNOWN].contains(kind)
}

impl<'v> FromSql<'v> for ValueRef<'v> {
    fn from_sql(kind: &Type, raw: &'v [u8]) -> Result<ValueRef<'v>, Failed> {
        Ok(match *kind {
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => ValueRef::Integer(i64::from(raw.first().is_some_and(|byte| *byte != 0))),
            Type::BYTEA => ValueRef::Blob(raw),
            _ if is_text(kind) => ValueRef::Text(std::str::from_utf8(raw)?),
            _ => return Err(format!("a column of type {kind}").into()),
        })
    }

    fn from_sql_null(_kind: &Type) -> Result<ValueRef<'v>, Failed> {
        Ok(ValueRef::Null)
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for (value, kind) in [
            (ValueRef::Integer(i64::MIN), Type::INT8),
            (ValueRef::Integer(-7), Type::INT4),
            (ValueRef::Integer(1), Type::BOOL),
            (ValueRef::Text("ä"), Type::TEXT),
            (ValueRef::Blob(&[0, 255]), Type::BYTEA),
        ] {
            let mut out = BytesMut::new();
            assert!(matches!(value.to_sql(&kind, &mut out), Ok(IsNull::No)));
            assert_eq!(<ValueRef<'_> as FromSql>::from_sql(&kind, &out).unwrap(), value);
        }
        assert!(matches!(ValueRef::Null.to_sql(&Type::INT8, &mut BytesMut::new()), Ok(IsNull::Yes)));
        for (value, kind) in [
            (ValueRef::Integer(1 << 40), Type::INT4),
            (ValueRef::Text("1"), Type::INT8),
            (ValueRef::Integer(1), Type::TEXT),
        ] {
            assert!(value.to_sql(&kind, &mut BytesMut::new()).is_err());
        }
    }

    #[test]
    fn a_zero_character_does_not_keep_a_text_from_being_stored() {
        let mut out = BytesMut::new();
        put_text("\0a\0\0b", &mut out);
        assert_eq!(out, "\u{FFFD}a\u{FFFD}\u{FFFD}b".as_bytes());
    }
}
