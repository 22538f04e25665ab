//! Reading JSON objects of providers without ever failing on a field we did not expect.
//!
//! A derived reader refuses a duplicate key, a string where a number was promised or a `null` object. Providers send all
//! of these, and metering must read what can be read. So every reader here takes any type: what does not fit is
//! "not known", and of a duplicate key the last one counts (as in JavaScript and Python).

use super::plain::{Plain, Unusual};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Longest identifier (model, id, error type) that is kept, in bytes; a longer one is treated as absent.
pub(crate) const WORD_LIMIT: usize = 256;

/// Most elements of one list (choices, modalities) that are looked at; the rest is skipped.
pub(crate) const LIST_LIMIT: usize = 256;

/// An object of which some fields are read.
pub(crate) trait Object: Default {
    /// Takes the value of `key` if it is one of ours; returns whether it did.
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads every JSON object in `text`, one after the other (normally there is exactly one), until something is not
/// JSON. Returns how many values were read.
pub(crate) fn each<T: Object>(text: &[u8], mut take: impl FnMut(T)) -> usize {
    if let Ok(value) = plain_value(text) {
        value.into_iter().for_each(take);
        return 1;
    }
    each_in_general(text, &mut take)
}

/// The first JSON object in `text`, if it starts with one.
pub(crate) fn one<T: Object>(text: &[u8]) -> Option<T> {
    let mut found = None;
    each(text, |value| {
        if found.is_none() {
            found = Some(value);
        }
    });
    found
}

/// The object that is the whole of `text`, if it is plain enough to be read at once (see the module `plain`).
pub(crate) fn whole<T: Object>(text: &[u8]) -> Option<T> {
    plain_value(text).ok().flatten()
}

/// Reads a text that is one value, if it is plain enough.
pub(super) fn plain_value<T: Object>(text: &[u8]) -> Result<Option<T>, Unusual> {
    let mut plain = Plain::new(text)?;
    let mut value = None;
    Place(&mut value).deserialize(&mut plain)?;
    plain.end()?;
    Ok(value)
}

/// [`each`] for any JSON.
pub(super) fn each_in_general<T: Object>(text: &[u8], take: &mut impl FnMut(T)) -> usize {
    let mut count = 0;
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Lenient<T>>().take(LIST_LIMIT) {
        let Ok(value) = value else { break };
        count += 1;
        if let Some(value) = value.0 {
            take(value);
        }
    }
    count
}

/// A count of tokens: a non-negative whole number, also when written as `12.0`.
pub(crate) fn count<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<u64>, A::Error> {
    Ok(match map.next_value::<Scalar<'de>>()? {
        Scalar::Number(number) => Some(number),
        _ => None,
    })
}

/// A short string; an empty one is absent.
pub(crate) fn word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Box<str>>, A::Error> {
    Ok(match map.next_value::<Scalar<'de>>()? {
        Scalar::Word(word) => Some(word.into()),
        _ => None,
    })
}

/// Whether it is this string.
pub(crate) fn word_is<'de, A: MapAccess<'de>>(map: &mut A, word: &str) -> Result<bool, A::Error> {
    Ok(matches!(map.next_value::<Scalar<'de>>()?, Scalar::Word(found) if found == word))
}

/// A short string or a number as a string.
pub(crate) fn code<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Box<str>>, A::Error> {
    Ok(match map.next_value::<Scalar<'de>>()? {
        Scalar::Word(word) => Some(word.into()),
        Scalar::Number(number) => Some(number.to_string().into()),
        _ => None,
    })
}

/// Whether there is something: neither null, false, an empty string, an empty list nor an empty object.
pub(crate) fn present<'de, A: MapAccess<'de>>(map: &mut A) -> Result<bool, A::Error> {
    Ok(!matches!(map.next_value::<Scalar<'de>>()?, Scalar::Nothing))
}

/// An object, if it is one.
pub(crate) fn object<'de, T: Object, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    let mut value = None;
    map.next_value_seed(Place(&mut value))?;
    Ok(value)
}

/// A list of objects, if it is a list; elements that are no objects are left out.
pub(crate) fn list<'de, T: Object, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Vec<T>>, A::Error> {
    Ok(map.next_value::<List<T>>()?.0)
}

/// What an `error` field says, as one word: its type, code or status; `error` when it names none.
pub(crate) fn error<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Box<str>>, A::Error> {
    Ok(match map.next_value::<ErrorField>()? {
        ErrorField::Absent => None,
        ErrorField::Plain => Some("error".into()),
        ErrorField::Object(error) => Some(error.kind()),
    })
}

/// An error object of any family.
#[derive(Default)]
pub(crate) struct ErrorObject {
    kind: Option<Box<str>>,
    status: Option<Box<str>>,
    code: Option<Box<str>>,
}

impl ErrorObject {
    fn kind(self) -> Box<str> {
        self.kind.or(self.status).or(self.code).unwrap_or_else(|| "error".into())
    }
}

impl Object for ErrorObject {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = word(map)?,
            "status" => self.status = word(map)?,
            "code" => self.code = code(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

enum ErrorField {
    Absent,
    Plain,
    Object(ErrorObject),
}

struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

fn read_object<'de, T: Object, A: MapAccess<'de>>(mut map: A, value: &mut T) -> Result<(), A::Error> {
    while let Some(key) = map.next_key::<Key<'de>>()? {
        if !value.field(&key.0, &mut map)? {
            map.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

fn drain_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<bool, A::Error> {
    let mut any = false;
    while list.next_element::<IgnoredAny>()?.is_some() {
        any = true;
    }
    Ok(any)
}

fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<bool, A::Error> {
    let mut any = false;
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        any = true;
    }
    Ok(any)
}

/// The arms of a visitor for which every scalar means the same.
macro_rules! scalars_are {
    ($value:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

struct Lenient<T>(Option<T>);

/// Where an object is to be read to, because objects are large and moving them costs as much as reading them.
struct Place<'a, T>(&'a mut Option<T>);

impl<'de, T: Object> DeserializeSeed<'de> for Place<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object> Visitor<'de> for Place<'_, T> {
    type Value = ();
    scalars_are!(());
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        drain_list(list).map(|_| ())
    }
    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        read_object(map, self.0.insert(T::default()))
    }
}

impl<'de, T: Object> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut place = None;
        Place(&mut place).deserialize(deserializer)?;
        Ok(Lenient(place))
    }
}

struct List<T>(Option<Vec<T>>);

impl<'de, T: Object> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Object> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;
            scalars_are!(List(None));
            fn visit_str<E>(self, _: &str) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
                drain_map(map).map(|_| List(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut values = Vec::new();
                while values.len() < LIST_LIMIT {
                    let mut value = None;
                    if list.next_element_seed(Place(&mut value))?.is_none() {
                        return Ok(List(Some(values)));
                    }
                    values.extend(value);
                }
                drain_list(list).map(|_| List(Some(values)))
            }
        }
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for ErrorField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ErrorVisitor;
        impl<'de> Visitor<'de> for ErrorVisitor {
            type Value = ErrorField;
            scalars_are!(ErrorField::Absent);
            fn visit_str<E>(self, text: &str) -> Result<ErrorField, E> {
                Ok(if text.is_empty() { ErrorField::Absent } else { ErrorField::Plain })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ErrorField, A::Error> {
                drain_list(list).map(|any| if any { ErrorField::Plain } else { ErrorField::Absent })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ErrorField, A::Error> {
                let mut error = ErrorObject::default();
                read_object(map, &mut error)?;
                Ok(ErrorField::Object(error))
            }
        }
        deserializer.deserialize_any(ErrorVisitor)
    }
}

/// A value as far as a count, an identifier or a presence check needs it.
enum Scalar<'de> {
    /// Null, false, empty.
    Nothing,
    Number(u64),
    Word(Cow<'de, str>),
    /// Anything else that is there.
    Other,
}

/// Whole numbers up to this are exact in a double.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(if value { Scalar::Other } else { Scalar::Nothing })
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be exact"
            )]
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                let whole = number.fract() == 0.0 && (0.0..=EXACT_FLOAT).contains(&number);
                Ok(if whole { Scalar::Number(number as u64) } else { Scalar::Other })
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Nothing)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(match text.len() {
                    0 => Scalar::Nothing,
                    1..=WORD_LIMIT => Scalar::Word(Cow::Borrowed(text)),
                    _ => Scalar::Other,
                })
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(match text.len() {
                    0 => Scalar::Nothing,
                    1..=WORD_LIMIT => Scalar::Word(Cow::Owned(text.to_owned())),
                    _ => Scalar::Other,
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Scalar<'de>, A::Error> {
                drain_list(list).map(|any| if any { Scalar::Other } else { Scalar::Nothing })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
                drain_map(map).map(|any| if any { Scalar::Other } else { Scalar::Nothing })
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}
