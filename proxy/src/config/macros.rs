//! One declaration per group of keys: the type, its reader, its reference and its schema come from the same lines.

/// Declares groups of configuration keys.
///
/// Each field says how it may be absent: `= required` (without it there is no group), `= (required "yaml")` (a
/// problem, but reading goes on with this), `= optional` (an `Option`, absent is `None`), or `= "yaml"`, the default written as it would stand in the file. `as Form` names the form it is read in when the
/// type alone does not say (a `usize` may be a number or a size). The doc comment is the reference text.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $field_doc:literal])+ $field_vis:vis $field:ident: $type:ty $(as $form:ty)? = $presence:tt,)+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $field_doc])+ $field_vis $field: $type,)+
        }

        impl $crate::config::form::Form for $name {
            type Out = $name;

            fn shape() -> $crate::config::form::Shape {
                use $crate::config::form::{Field, Form, Group, Shape};
                Shape::Group(Group {
                    name: stringify!($name),
                    doc: $crate::config::macros::paragraph(&[$($doc),+]),
                    fields: vec![$(Field {
                        name: $crate::config::macros::key(stringify!($field)),
                        doc: $crate::config::macros::paragraph(&[$($field_doc),+]),
                        presence: $crate::config::macros::presence!($presence),
                        shape: <$crate::config::macros::form!($type $(, $form)?) as Form>::shape(),
                    },)+],
                })
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::form::Reader<'_>,
            ) -> Option<$name> {
                reader.group(node, &[$($crate::config::macros::key(stringify!($field))),+])?;
                $(let $field = $crate::config::macros::field!(
                    reader, node, $field, $crate::config::macros::form!($type $(, $form)?), $presence
                );)+
                Some($name { $($field: $field?,)+ })
            }

            fn show(value: &$name) -> serde_json::Value {
                use $crate::config::form::Form;
                let mut object = serde_json::Map::new();
                $({
                    let shown = <$crate::config::macros::form!($type $(, $form)?) as Form>::show(&value.$field);
                    if !shown.is_null() {
                        object.insert($crate::config::macros::key(stringify!($field)).to_owned(), shown);
                    }
                })+
                serde_json::Value::Object(object)
            }
        }
    )+};
}

/// Declares a closed list of words that a key may take.
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])+
        pub enum $name:ident { $($(#[doc = $word_doc:literal])+ $variant:ident = $word:literal,)+ }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $word_doc])+ $variant,)+ }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word used in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::config::form::Form for $name {
            type Out = $name;

            fn shape() -> $crate::config::form::Shape {
                $crate::config::form::Shape::Words(vec![
                    $(($word, $crate::config::macros::paragraph(&[$($word_doc),+])),)+
                ])
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::form::Reader<'_>,
            ) -> Option<$name> {
                let words: Vec<&'static str> = $name::ALL.iter().map(|value| value.as_str()).collect();
                let index = reader.word(node, &words)?;
                $name::ALL.get(index).copied()
            }

            fn show(value: &$name) -> serde_json::Value {
                value.as_str().into()
            }
        }
    )+};
}

/// The form of a field: named, or its type's own.
macro_rules! form {
    ($type:ty) => {
        $type
    };
    ($type:ty, $form:ty) => {
        $form
    };
}

/// What a field's declaration says about its absence.
macro_rules! presence {
    (required) => {
        $crate::config::form::Presence::Required
    };
    (optional) => {
        $crate::config::form::Presence::Optional
    };
    ((required $default:literal)) => {
        $crate::config::form::Presence::RequiredOr($default)
    };
    ($default:literal) => {
        $crate::config::form::Presence::Default($default)
    };
}

/// Reads a field. An optional one is always there: as `None` when it is absent or wrong.
macro_rules! field {
    ($reader:ident, $node:ident, $field:ident, $form:ty, optional) => {
        Some(
            $reader
                .field::<$form>(
                    $node,
                    $crate::config::macros::key(stringify!($field)),
                    $crate::config::form::Presence::Optional,
                )
                .unwrap_or_default(),
        )
    };
    ($reader:ident, $node:ident, $field:ident, $form:ty, $presence:tt) => {
        $reader.field::<$form>(
            $node,
            $crate::config::macros::key(stringify!($field)),
            $crate::config::macros::presence!($presence),
        )
    };
}

/// The key of a field: one that is a word of Rust too is written `r#where`.
pub(super) fn key(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Doc comment lines as one paragraph.
pub(super) fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

pub(crate) use {field, form, presence, settings, words};
