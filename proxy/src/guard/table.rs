//! The list of members that carry text, in the guard's words.

use narrows_guard::Provenance;
use narrows_guard::json::{Entry, Meaning, Place, Says, Table};
use narrows_llm::texts::{self, Author, Carries};
use std::sync::LazyLock;

/// Which members of requests and answers are searched.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let entries: Vec<Entry> = texts::MEMBERS.iter().map(entry).collect();
    Table::new(&entries)
});

fn entry(member: &texts::Member) -> Entry {
    let place = match member.place {
        texts::Place::Anywhere => Place::Anywhere,
        texts::Place::Root => Place::Root,
        texts::Place::UnderRoot(name) => Place::UnderRoot(name),
        texts::Place::Under(name) => Place::Under(name),
    };
    let meaning = match member.carries {
        Carries::Nothing => Meaning::Opaque,
        Carries::NothingBeneath => Meaning::Sealed,
        Carries::Media => Meaning::Media,
        Carries::Json => Meaning::Json,
        Carries::Word(words) => {
            let words: Vec<Says> = words.iter().map(|(word, author)| (*word, provenance(*author))).collect();
            // The list is made once and lives as long as the program.
            Meaning::Tells(words.leak())
        }
        Carries::By(author) => Meaning::By(provenance(author)),
        Carries::Data(author) => Meaning::Data(provenance(author)),
        Carries::Text => Meaning::Plain,
        Carries::SignedText => Meaning::Signed,
    };
    Entry { name: member.name, place, meaning }
}

fn provenance(author: Author) -> Provenance {
    match author {
        Author::System => Provenance::System,
        Author::User => Provenance::User,
        Author::Assistant => Provenance::Assistant,
        Author::ToolInput => Provenance::ToolInput,
        Author::ToolResult => Provenance::ToolResult,
        Author::Document => Provenance::Document,
        Author::ToolDefinition => Provenance::ToolDefinition,
    }
}
