//! What attacks say, by family and language, with weights.
//!
//! A weight is what the phrase adds to the score of its surroundings; 100 is certainty and the default threshold is 60. A
//! phrase that hardly anybody writes for another reason may pass alone; a phrase with innocent uses needs company. Weights
//! were set by hand: what is common in ordinary documents, code and prompts weighs little whatever it does in attacks.

use std::collections::HashMap;

use super::family::Family;
use super::phrase::Phrases;

const TABLES: [&str; 2] = [include_str!("phrases/english.txt"), include_str!("phrases/languages.txt")];

/// All phrases, with family and weight by number.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) phrases: Phrases,
    pub(super) meaning: Vec<(Family, i32)>,
    /// Lines that are no rows; empty for correct tables.
    strays: Vec<&'static str>,
}

impl Table {
    /// Reads the tables that are built in. A line that cannot be read is left out; a test holds that there is none.
    pub(super) fn new() -> Table {
        let lines = || {
            TABLES
                .iter()
                .flat_map(|table| table.lines())
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
        };
        let lists = lists(lines());
        let mut table = Table { phrases: Phrases::default(), meaning: Vec::new(), strays: Vec::new() };
        for line in lines().filter(|line| !line.starts_with('$')) {
            match row(line) {
                Some((family, weight, phrase)) => {
                    table.phrases.add(phrase, &lists);
                    table.meaning.push((family, weight));
                }
                None => table.strays.push(line),
            }
        }
        table
    }
}

fn lists<'t>(lines: impl Iterator<Item = &'t str>) -> HashMap<&'t str, String> {
    let mut lists: HashMap<&str, String> = HashMap::new();
    for (name, words) in lines.filter_map(|line| line.strip_prefix('$')?.split_once(" = ")) {
        let list = lists.entry(name).or_default();
        list.push(' ');
        list.push_str(words);
    }
    lists
}

fn row(line: &str) -> Option<(Family, i32, &str)> {
    let (family, rest) = line.split_once(' ')?;
    let (weight, phrase) = rest.split_once(' ')?;
    let family = match family {
        "override" => Family::Override,
        "extraction" => Family::Extraction,
        "persona" => Family::Persona,
        "bypass" => Family::Bypass,
        "agent" => Family::AgentDirective,
        "exfiltration" => Family::Exfiltration,
        "tool" => Family::ToolPoisoning,
        "encoded" => Family::Encoded,
        "context" => Family::Context,
        _ => return None,
    };
    Some((family, weight.parse().ok()?, phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let table = Table::new();
        assert_eq!(table.strays, [""; 0]);
        assert_eq!(table.phrases.mistakes(), [""; 0]);
        assert!(table.meaning.len() > 200, "{}", table.meaning.len());
    }

    #[test]
    fn only_innocent_words_take_away() {
        for (family, weight) in Table::new().meaning {
            assert_eq!(weight < 0, family == Family::Context);
            assert!(weight.abs() <= 100);
        }
    }
}
