//! Which members carry text, which are left alone, and what members say about who wrote the text beside them.

use crate::finding::Provenance;

/// Where a member stands for an entry to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At any depth.
    Anywhere,
    /// In the outermost object.
    Root,
    /// In an object that is the value of a member of the outermost object with this name, or an element of its list.
    UnderRoot(&'static str),
    /// In an object that is the value of a member with this name, or an element of its list.
    Under(&'static str),
}

/// What the value of a member means when it is this word.
pub type Says = (&'static str, Provenance);

/// What a member's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Not for people: an id, a kind, a signature. Neither searched nor changed. Of an object or list this is said of
    /// strings that stand in it directly.
    Opaque,
    /// As opaque, and everything beneath it too.
    Sealed,
    /// Encoded media, if it looks like base64; else text. Of a list this is said of each of its strings.
    Media,
    /// Text whose content is JSON.
    Json,
    /// Opaque, and some words tell who wrote the texts of the object it stands in.
    Tells(&'static [Says]),
    /// Written by this one, to the last leaf.
    By(Provenance),
    /// Free data, to the last leaf: no member beneath it has a meaning of its own.
    Data(Provenance),
    /// Text, in spite of a more general entry.
    Plain,
    /// Text that is looked at and never changed, for it is signed.
    Signed,
}

/// The meaning of a member's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The member's name.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// What it means there.
    pub meaning: Meaning,
}

/// Buckets of the table; a power of two.
const BUCKETS: usize = 256;

/// Members whose value is not just text. Everything else is text.
#[derive(Debug, Clone)]
pub struct Table {
    /// By the bucket of their name.
    entries: Vec<Entry>,
    /// Where the entries of each bucket begin, and where the last ones end.
    begins: [u16; BUCKETS + 1],
}

impl Table {
    /// A table with these entries. Among those for one name, [`Place::Root`] goes before [`Place::UnderRoot`], that before
    /// [`Place::Under`], and that before [`Place::Anywhere`].
    pub fn new(entries: &[Entry]) -> Table {
        let mut entries = entries.to_vec();
        entries.sort_by_key(|entry| {
            let place = match entry.place {
                Place::Root => 0,
                Place::UnderRoot(_) => 1,
                Place::Under(_) => 2,
                Place::Anywhere => 3,
            };
            (bucket(entry.name.as_bytes()), place)
        });
        let mut begins = [0; BUCKETS + 1];
        for (number, begin) in begins.iter_mut().enumerate() {
            let before = entries.partition_point(|entry| bucket(entry.name.as_bytes()) < number);
            *begin = u16::try_from(before).unwrap_or(u16::MAX);
        }
        Table { entries, begins }
    }

    /// A table that takes every string for text.
    pub fn everything() -> Table {
        Table::new(&[])
    }

    /// What the member `name` means. `parent` is the name of the nearest member around it, empty for none; `depth` how many
    /// lists and objects it stands in.
    #[inline]
    pub(super) fn meaning(&self, name: &[u8], parent: &[u8], depth: usize) -> Option<Meaning> {
        let bucket = bucket(name);
        let (begin, end) = (self.begins[bucket], self.begins[bucket + 1]);
        let entries = self.entries.get(usize::from(begin)..usize::from(end))?;
        let fits = |entry: &&Entry| match entry.place {
            Place::Anywhere => true,
            Place::Root => depth == 1,
            // In an object of the outermost one, or in one of a list there.
            Place::UnderRoot(name) => depth <= 3 && name.as_bytes() == parent,
            Place::Under(name) => name.as_bytes() == parent,
        };
        let named = entries.iter().filter(|entry| entry.name.as_bytes() == name);
        named.into_iter().find(fits).map(|entry| entry.meaning)
    }
}

/// Names differ in their length and their ends; more is not looked at.
#[inline]
fn bucket(name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    (name.len() * 37 + usize::from(first) * 5 + usize::from(last) * 11) % BUCKETS
}
