//! One declaration per group of keys: the type, its reader, its reference and its schema come from the same lines.

/// Declares a group of configuration keys.
///
/// Each field says how it may be absent: `= required`, `= optional` (an `Option`, absent is `None`), or
/// `= "yaml"`, the default written as it would stand in the file. Its doc comment is its reference text.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $($(#[doc = $field_doc:literal])+ pub $field:ident: $type:ty = $presence:tt,)+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)+
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
    )+};
}

pub(crate) use {settings, words};
