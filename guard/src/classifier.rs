//! The place of a local classifier: a model that scores pieces of text, where rules cannot.
//!
//! None is built in and none is needed. Whoever implements [`Classifier`] owns the model's files, threads and memory; this
//! crate only says what it hands over and what it expects back. Scores join the findings of rules with their own rule
//! name, under the same policies.
//!
//! The contract for implementations:
//! - `classify` is called off the asynchronous threads and may block, but no longer than its deadline: what is not scored by
//!   then is `None`, and the record says that coverage is partial. It never panics and never answers for another piece.
//! - Pieces come in the order in which they matter, tools' results first; a full queue drops from the end.
//! - A text longer than the model's input is cut by the implementation into overlapping windows; the piece's score is the
//!   largest of them.
//! - The same text gets the same score while [`Classifier::version`] stays the same, so that scores can be cached by text and
//!   version.

use std::time::Duration;

use crate::finding::Provenance;

/// One text to be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text as the model would see it, without escapes.
    pub text: &'a str,
    /// Who wrote it.
    pub provenance: Provenance,
}

/// What a classifier says about one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The label, lower case with dashes, such as `jailbreak`; it names the rule in findings.
    pub label: Box<str>,
    /// How sure it is, 0 to 100.
    pub score: u8,
}

/// Scores texts with a model of its own.
pub trait Classifier: Send + Sync {
    /// Name and version of the model and its settings; changes whenever scores may.
    fn version(&self) -> &str;

    /// One verdict a piece, in their order. `None`: not scored, for want of time or capacity.
    fn classify(&self, pieces: &[Piece<'_>], within: Duration) -> Vec<Option<Verdict>>;
}

/// Asks a classifier and holds it to its contract: as many answers as pieces, scores of at most 100.
pub fn ask(classifier: &dyn Classifier, pieces: &[Piece<'_>], within: Duration) -> Vec<Option<Verdict>> {
    let mut verdicts = classifier.classify(pieces, within);
    verdicts.resize(pieces.len(), None);
    for verdict in verdicts.iter_mut().flatten() {
        verdict.score = verdict.score.min(100);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lengths {
        answers: usize,
    }

    impl Classifier for Lengths {
        fn version(&self) -> &str {
            "lengths-1"
        }

        fn classify(&self, pieces: &[Piece<'_>], _within: Duration) -> Vec<Option<Verdict>> {
            let verdict = |piece: &Piece<'_>| Verdict {
                label: "long".into(),
                score: u8::try_from(piece.text.len()).unwrap_or(u8::MAX),
            };
            pieces.iter().map(verdict).map(Some).cycle().take(self.answers).collect()
        }
    }

    #[test]
    fn answers_are_as_many_as_pieces_and_scores_at_most_a_hundred() {
        let long = "x".repeat(200);
        let pieces = [("ab", Provenance::User), (long.as_str(), Provenance::ToolResult)]
            .map(|(text, provenance)| Piece { text, provenance });
        let scores = |answers| {
            let verdicts = ask(&Lengths { answers }, &pieces, Duration::from_millis(10));
            verdicts.iter().map(|verdict| verdict.as_ref().map(|verdict| verdict.score)).collect::<Vec<_>>()
        };
        assert_eq!(scores(2), [Some(2), Some(100)]);
        assert_eq!(scores(1), [Some(2), None]);
        assert_eq!(scores(5).len(), 2);
    }
}
