//! What is said to the scripts, and what they answer.

use narrows_meter::{Calendar, Window};
use redis::{RedisError, Value};

/// Arguments of a script.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    /// A word.
    pub(super) fn word(&mut self, word: &str) {
        self.0.push(word.as_bytes().to_vec());
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl itoa::Integer) {
        self.0.push(itoa::Buffer::new().format(number).as_bytes().to_vec());
    }

    /// A number that may be absent, which is -1.
    pub(super) fn optional(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.number(-1),
        }
    }

    /// A truth.
    pub(super) fn flag(&mut self, flag: bool) {
        self.number(u8::from(flag));
    }

    /// The window of a budget, as it is at `now_us`. One of the calendar is told with its neighbours, so that Redis, whose
    /// clock decides, finds itself in one of them.
    pub(super) fn window(&mut self, window: &Window, now_us: i64) {
        match window {
            Window::Calendar(calendar) => {
                let span = Calendar::span(calendar, now_us);
                let before = calendar.span(span.start_us.saturating_sub(1));
                let after = calendar.span(span.end_us);
                self.word("c");
                for bound in [before.start_us, span.start_us, span.end_us, after.end_us] {
                    self.number(bound);
                }
            }
            Window::Rolling(length_us) => self.sliding(*length_us),
        }
    }

    /// A window that slides.
    pub(super) fn sliding(&mut self, length_us: i64) {
        self.word("r");
        self.number(narrows_meter::window::step_us(length_us));
    }

    pub(super) fn append(&mut self, mut other: Arguments) {
        self.0.append(&mut other.0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

/// What a script answered: words, read one after the other.
#[derive(Debug)]
pub(super) struct Answer(std::vec::IntoIter<Value>);

/// An answer that no script of ours gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer that is none of ours")]
pub(super) struct Strange;

impl Answer {
    pub(super) fn new(value: Value) -> Result<Answer, RedisError> {
        match value.extract_error()? {
            Value::Array(values) => Ok(Answer(values.into_iter())),
            other => Ok(Answer(vec![other].into_iter())),
        }
    }

    /// The next word.
    pub(super) fn word(&mut self) -> Result<String, Strange> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => String::from_utf8(bytes).map_err(|_not_text| Strange),
            Some(Value::SimpleString(text)) => Ok(text),
            Some(Value::Int(number)) => Ok(number.to_string()),
            _ => Err(Strange),
        }
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<i64, Strange> {
        self.word()?.parse().map_err(|_no_number| Strange)
    }

    /// The next amount.
    pub(super) fn amount(&mut self) -> Result<u64, Strange> {
        Ok(u64::try_from(self.number()?.max(0)).unwrap_or(0))
    }

    /// The next truth.
    pub(super) fn flag(&mut self) -> Result<bool, Strange> {
        Ok(self.number()? != 0)
    }
}
