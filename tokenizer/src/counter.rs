//! The exact number of tokens of a text that comes in pieces.
//!
//! The pieces that a vocabulary's pattern cuts are the unit: what stands in one never depends on the next, once it is
//! certain where it ends. So an automaton reads each byte once, a finished piece is counted and forgotten, and only
//! the one in progress is kept. Chunks may be cut anywhere, also in a character.

use crate::encoding::Encoder;
use crate::split::{Progress, whole_characters};

/// Longest piece that is kept, in bytes. A longer one (one "word" of 64 KiB) is cut there and counted in parts, which
/// was never seen to make more than two tokens' difference a cut.
pub const PIECE_LIMIT: usize = 64 << 10;

/// Bytes of the piece in progress that [`Counter::count`] counts anew each time. What is longer is counted in blocks of
/// this size, each once, until the piece ends and is counted as a whole; so no call takes longer the longer a piece is,
/// and a running total may be off by a token or two a block meanwhile.
pub const BLOCK_BYTES: usize = 1 << 10;

/// Counts the tokens of one text that comes in chunks.
#[derive(Debug, Clone)]
pub struct Counter {
    encoder: &'static Encoder,
    /// Bytes of the piece in progress; at most [`PIECE_LIMIT`], and while a chunk is read that and [`BLOCK_BYTES`].
    piece: Vec<u8>,
    progress: Progress,
    /// Tokens of the pieces that have ended.
    settled: u64,
    /// Bytes of the piece in progress that were counted in blocks, and their tokens.
    blocks: (usize, u64),
    /// Bytes that the automaton has read, some more than once.
    #[cfg(test)]
    read_bytes: u64,
}

impl Counter {
    /// A counter of nothing yet.
    pub fn new(encoder: &'static Encoder) -> Counter {
        Counter {
            encoder,
            piece: Vec::new(),
            progress: encoder.splitter.begin(),
            settled: 0,
            blocks: (0, 0),
            #[cfg(test)]
            read_bytes: 0,
        }
    }

    /// The text goes on with these bytes of UTF-8, cut anywhere. Bytes that are no UTF-8 count one each.
    pub fn push(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(BLOCK_BYTES) {
            self.read(chunk);
        }
    }

    fn read(&mut self, chunk: &[u8]) {
        let mut at = self.piece.len();
        self.piece.extend_from_slice(chunk);
        let mut start = 0;
        loop {
            let text = self.piece.get(start..).unwrap_or_default();
            // Where a long piece is cut does not depend on how the text comes.
            let text = text.get(..PIECE_LIMIT).unwrap_or(text);
            let end = self.encoder.splitter.read(&mut self.progress, text, at);
            #[cfg(test)]
            {
                self.read_bytes += (end.unwrap_or(text.len()) - at.min(end.unwrap_or(at))) as u64;
            }
            let end = match end {
                Some(end) => {
                    self.settled += self.encoder.ranks.count(text.get(..end).unwrap_or(text));
                    end
                }
                None if text.len() == PIECE_LIMIT => {
                    let end = whole_characters(text).max(1);
                    self.settled += self.encoder.count(text.get(..end).unwrap_or(text));
                    end
                }
                None => break,
            };
            (start, at, self.progress, self.blocks) = (start + end, 0, self.encoder.splitter.begin(), (0, 0));
        }
        self.piece.drain(..start);
        let (mut counted, mut tokens) = self.blocks;
        while let Some(block) = self.piece.get(counted..counted + BLOCK_BYTES) {
            tokens += self.encoder.ranks.count(block);
            counted += BLOCK_BYTES;
        }
        self.blocks = (counted, tokens);
    }

    /// Tokens so far, as if the text ended here. Exact unless the piece in progress is longer than [`BLOCK_BYTES`].
    pub fn count(&self) -> u64 {
        let (counted, tokens) = self.blocks;
        match self.piece.get(counted..) {
            Some(rest) if counted > 0 => self.settled + tokens + self.encoder.ranks.count(rest),
            _ => self.settled + self.unsettled(),
        }
    }

    /// Tokens of the whole text.
    pub fn finish(self) -> u64 {
        self.settled + self.unsettled()
    }

    /// Tokens of what is kept, if the text ends here.
    fn unsettled(&self) -> u64 {
        if self.piece.is_empty() {
            return 0;
        }
        let end = self.encoder.splitter.close(&self.progress, &self.piece);
        let (piece, rest) = self.piece.split_at_checked(end).unwrap_or((&self.piece, &[]));
        self.encoder.ranks.count(piece) + self.encoder.count(rest)
    }

    /// Bytes that are kept.
    pub fn held_bytes(&self) -> usize {
        self.piece.len()
    }
}

#[cfg(test)]
mod tests;
