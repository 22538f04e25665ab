//! Bodies that are no JSON of a dialect: forms, files, lines of JSON. Their texts are searched one by one, and what is no
//! text is said to be none.

use super::Guard;
use super::kept::KEPT_BYTES_MAX;
use super::search::{Otherwise, Sight};
use bytes::Bytes;
use narrows_guard::Provenance;
use narrows_guard::body::{FOUND_MAX, Passage, Passages};
use narrows_guard::json::Spot;
use narrows_llm::paths::form;
use narrows_policy::{Coverage, Gap};
use std::ops::Range;
use std::sync::Arc;

/// Bodies up to this many bytes are searched where they are; a longer one would keep other exchanges waiting.
const HERE_BYTES_MAX: usize = 256 * 1024;

/// Most lines of JSON of one body that are searched one by one.
const LINES_MAX: usize = 200_000;

/// A text within a body.
#[derive(Debug)]
struct Piece {
    range: Range<usize>,
    author: Provenance,
    /// Whether it says of itself that it is JSON, or lines of it.
    claims_json: bool,
    /// Where it stands, for records; nothing of it is the client's word.
    path: Box<str>,
}

/// A body, taken apart.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The body with blanks in the place of what is no text, so that places in it are those of the body.
    view: Bytes,
    pieces: Vec<Piece>,
    /// Headers of a form's parts: names of fields and files. What is found in them cannot be masked, for servers read them.
    names: Vec<Piece>,
    /// Of what is no text.
    rest: Option<Coverage>,
    /// Whether more of the body came than this.
    is_cut: bool,
}

/// What a file says of itself.
struct Claims {
    text: bool,
    json: bool,
    media: bool,
}

impl Claims {
    fn of(kind: &str, file: &str) -> Claims {
        let word = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        let json = ["json", "jsonl", "ndjson"].contains(&&*ending)
            || ["json", "jsonl", "ndjson"].iter().any(|end| word.ends_with(end));
        let texts = ["txt", "csv", "tsv", "md", "xml", "html", "yaml", "yml", "toml", "log"];
        let text = json || word.starts_with("text/") || texts.contains(&&*ending);
        let media = ["audio/", "image/", "video/", "font/", "application/pdf", "application/zip"]
            .iter()
            .any(|start| word.starts_with(start));
        Claims { text, json, media }
    }
}

/// Whether a body of this content type is media, and not worth to be held to be looked at.
pub(crate) fn is_media(kind: &str) -> bool {
    Claims::of(kind, "").media
}

impl Pieces {
    /// Takes a body of this content type apart; `author` wrote what is no field of a form.
    pub(crate) fn of(kind: &str, body: &Bytes, author: Provenance) -> Pieces {
        Pieces::taken_apart(kind, body, author, false)
    }

    /// Takes the beginning of a body apart.
    pub(crate) fn of_beginning(kind: &str, body: &Bytes, author: Provenance) -> Pieces {
        Pieces::taken_apart(kind, body, author, true)
    }

    fn taken_apart(kind: &str, body: &Bytes, author: Provenance, is_cut: bool) -> Pieces {
        let mut pieces =
            Pieces { view: Bytes::new(), pieces: Vec::new(), names: Vec::new(), rest: None, is_cut };
        let parts = if is_cut { form::parts_so_far } else { form::parts };
        if !kind.trim_start().get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
            pieces.file(body, 0..body.len(), &Claims::of(kind, ""), author, "");
        } else if let Some(parts) = parts(kind, body) {
            for (number, part) in parts.into_iter().enumerate() {
                let path = format!("part[{number}]");
                let named = format!("{path}.header").into();
                let name =
                    Piece { range: part.header, author: Provenance::User, claims_json: false, path: named };
                pieces.names.push(name);
                if part.is_encoded {
                    pieces.gap(Gap::Undecodable);
                    continue;
                }
                let claims = Claims::of(&part.kind, part.file.as_deref().unwrap_or("field.txt"));
                let author = if part.file.is_some() { author } else { Provenance::User };
                pieces.file(body, part.value, &claims, author, &path);
            }
        } else {
            pieces.gap(Gap::Undecodable);
        }
        pieces.view = pieces.view_of(body);
        pieces
    }

    /// What is media hides nothing that cannot be read: that is the worse of the two.
    fn gap(&mut self, gap: Gap) {
        if self.rest.is_none() || gap != Gap::NotText {
            self.rest = Some(Coverage::None(gap));
        }
    }

    fn file(
        &mut self,
        body: &[u8],
        mut range: Range<usize>,
        claims: &Claims,
        author: Provenance,
        path: &str,
    ) {
        let mut bytes = body.get(range.clone()).unwrap_or_default();
        if let (true, Err(fault)) = (self.is_cut && range.end == body.len(), std::str::from_utf8(bytes))
            && fault.error_len().is_none()
        {
            // The last character was cut.
            range.end = range.start + fault.valid_up_to();
            bytes = bytes.get(..fault.valid_up_to()).unwrap_or_default();
        }
        // A text holds no zero byte; bytes of media rarely read as text, and then nothing is lost by looking.
        let is_text = memchr::memchr(0, bytes).is_none() && std::str::from_utf8(bytes).is_ok();
        if is_text {
            self.pieces.push(Piece { range, author, claims_json: claims.json, path: path.into() });
        } else {
            self.gap(if claims.text { Gap::Undecodable } else { Gap::NotText });
        }
    }

    fn view_of(&self, body: &Bytes) -> Bytes {
        if std::str::from_utf8(body).is_ok() {
            return body.clone();
        }
        let mut view = vec![b' '; body.len()];
        for piece in self.pieces.iter().chain(&self.names) {
            if let (Some(to), Some(from)) = (view.get_mut(piece.range.clone()), body.get(piece.range.clone()))
            {
                to.copy_from_slice(from);
            }
        }
        Bytes::from(view)
    }

    /// Its texts, for those who judge them elsewhere.
    ///
    /// # Errors
    /// Not all of them are there, or they are more than is shown to anybody.
    pub(super) fn passages(&self) -> Result<Passages, Gap> {
        if self.is_cut {
            return Err(Gap::Streamed);
        }
        if let Some(gap) = self.rest.and_then(Coverage::gap).filter(|gap| *gap != Gap::NotText) {
            return Err(gap);
        }
        if self.pieces.iter().map(|piece| piece.range.len()).sum::<usize>() > KEPT_BYTES_MAX {
            return Err(Gap::TooLarge);
        }
        let text = |piece: &Piece| self.text().get(piece.range.clone()).unwrap_or_default().to_owned();
        let passage = |piece: &Piece| {
            let path = if piece.path.is_empty() { "text" } else { &*piece.path };
            Passage::plain(path, piece.author, text(piece))
        };
        let list = self.pieces.iter().map(passage).filter(|passage| !passage.text.trim().is_empty());
        Ok(Passages { list: list.collect(), more: false })
    }

    /// The text that findings stand in, with the places of the body.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.view).unwrap_or_default()
    }
}

impl Guard {
    /// Searches the texts of a body on behalf of an organization.
    pub(crate) async fn search_pieces(self: &Arc<Self>, organization: &str, pieces: &Arc<Pieces>) -> Sight {
        if pieces.view.len() > self.body_max {
            return Sight::none(Gap::TooLarge);
        }
        if pieces.view.len() <= HERE_BYTES_MAX {
            return self.search_pieces_here(organization, pieces);
        }
        let (guard, organization, pieces) = (Arc::clone(self), organization.to_owned(), Arc::clone(pieces));
        let searching = tokio::task::spawn_blocking(move || guard.search_pieces_here(&organization, &pieces));
        // It does not come back only if it panics or the runtime ends: then nothing was inspected.
        searching.await.unwrap_or_else(|_lost| Sight::none(Gap::Error))
    }

    /// Searches the texts of a body on this thread.
    pub(crate) fn search_pieces_here(&self, organization: &str, pieces: &Pieces) -> Sight {
        let mut all = Gathered { sight: None };
        for piece in &pieces.pieces {
            let text = pieces.text().get(piece.range.clone()).unwrap_or_default();
            if text.trim_start().starts_with(['{', '[']) {
                self.search_structured(organization, text, piece, &mut all);
            } else {
                all.take(self.search_text(text, piece.author), piece.range.start, &piece.path);
            }
        }
        let mut sight = all.finish(pieces.rest);
        if pieces.is_cut && sight.scanned > 0 {
            sight.coverage = Coverage::Partial(Gap::Streamed);
        }
        self.search_names(pieces, &mut sight);
        sight
    }

    /// Adds what the headers of parts name. What was looked at is said of the texts alone.
    fn search_names(&self, pieces: &Pieces, sight: &mut Sight) {
        for name in &pieces.names {
            let text = pieces.text().get(name.range.clone()).unwrap_or_default();
            let seen = self.search_text(text, name.author);
            let capped = seen.coverage != Coverage::Full
                || sight.found.len().saturating_add(seen.found.len()) > FOUND_MAX;
            for mut found in seen.found {
                found.raw = found.raw.start + name.range.start..found.raw.end + name.range.start;
                (found.spot, found.path) = (Spot::Name, name.path.clone());
                sight.found.push(found);
            }
            if capped {
                sight.found.truncate(FOUND_MAX);
                sight.coverage = sight.coverage.and(Coverage::Partial(Gap::FindingsCap));
                return;
            }
        }
    }

    /// JSON, or lines of it; what only looks so is a text.
    fn search_structured(&self, organization: &str, text: &str, piece: &Piece, all: &mut Gathered) {
        const UNREADABLE: Coverage = Coverage::None(Gap::Undecodable);
        let start = piece.range.start;
        let json = |text: &str| self.search_here(organization, text.as_bytes(), Otherwise::Unreadable);
        let whole = json(text);
        if whole.coverage != UNREADABLE {
            return all.take(whole, start, &piece.path);
        }
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let is_lines = first.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(first).is_ok();
        if !is_lines {
            let mut sight = self.search_text(text, piece.author);
            if piece.claims_json {
                sight.coverage = sight.coverage.and(UNREADABLE);
            }
            return all.take(sight, start, &piece.path);
        }
        let mut at = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if number >= LINES_MAX {
                return all.take(Sight::none(Gap::DepthCap), start, "");
            }
            let (offset, path) = (start + at, Gathered::join(&piece.path, &format!("line[{number}]")));
            at += line.len();
            if line.trim().is_empty() {
                continue;
            }
            let mut sight = json(line);
            if sight.coverage == UNREADABLE {
                sight = self.search_text(line, piece.author);
                sight.coverage = sight.coverage.and(UNREADABLE);
            }
            all.take(sight, offset, &path);
        }
    }
}

/// What was seen of several texts.
struct Gathered {
    sight: Option<Sight>,
}

impl Gathered {
    fn join(outer: &str, inner: &str) -> String {
        match (outer, inner) {
            (outer, "") => outer.to_owned(),
            ("", inner) => inner.to_owned(),
            (outer, inner) => format!("{outer}.{inner}"),
        }
    }

    /// Takes what was seen of a text that begins at `start` of the body.
    fn take(&mut self, seen: Sight, start: usize, path: &str) {
        let mut seen = seen;
        for found in &mut seen.found {
            found.raw = found.raw.start + start..found.raw.end + start;
            found.path = Gathered::join(path, &found.path).into();
        }
        let Some(all) = &mut self.sight else {
            self.sight = Some(seen);
            return;
        };
        all.scanned += seen.scanned;
        all.coverage = all.coverage.and(seen.coverage);
        all.found.append(&mut seen.found);
        if all.found.len() > FOUND_MAX {
            all.found.truncate(FOUND_MAX);
            all.coverage = all.coverage.and(Coverage::Partial(Gap::FindingsCap));
        }
    }

    fn finish(self, rest: Option<Coverage>) -> Sight {
        match (self.sight, rest) {
            (Some(mut sight), Some(rest)) => {
                sight.coverage = sight.coverage.and(rest);
                sight
            }
            (Some(sight), None) => sight,
            (None, rest) => Sight { found: Vec::new(), scanned: 0, coverage: rest.unwrap_or(Coverage::Full) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDARY: &str = "multipart/form-data; boundary=b-1";

    fn form(parts: &[(&str, &[u8])]) -> Bytes {
        let mut form = Vec::new();
        for (header, value) in parts {
            form.extend_from_slice(format!("--b-1\r\n{header}\r\n\r\n").as_bytes());
            form.extend_from_slice(value);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--b-1--\r\n");
        Bytes::from(form)
    }

    fn of(kind: &str, body: &[u8]) -> Pieces {
        Pieces::of(kind, &Bytes::copy_from_slice(body), Provenance::Document)
    }

    #[test]
    fn a_form_is_its_texts_and_says_what_is_none() {
        let field = "content-disposition: form-data; name=\"prompt\"";
        let sound =
            "content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav";
        let body = form(&[(field, "Grüße".as_bytes()), (sound, &[b'R', 0, 0xFF, b'F'])]);
        let pieces = Pieces::of(BOUNDARY, &body, Provenance::Document);
        assert_eq!(pieces.rest, Some(Coverage::None(Gap::NotText)));
        let piece = &pieces.pieces[0];
        assert_eq!((&pieces.text()[piece.range.clone()], &*piece.path), ("Grüße", "part[0]"));
        assert_eq!((pieces.text().len(), piece.author), (body.len(), Provenance::User));
        assert_eq!(&body[piece.range.clone()], "Grüße".as_bytes(), "the places are those of the body");
    }

    #[test]
    fn names_of_files_and_fields_are_among_what_is_searched() {
        let field = "content-disposition: form-data; name=\"prompt\"";
        let sound =
            "content-disposition: form-data; name=\"a\"; filename=\"Zoë.wav\"\r\ncontent-type: audio/wav";
        let encoded = "content-disposition: form-data; name=\"b\"\r\ncontent-transfer-encoding: base64";
        let body = form(&[(field, b"words"), (sound, &[0, 0xFF]), (encoded, b"YQ==")]);
        let pieces = of(BOUNDARY, &body);
        let named: Vec<(&str, &str)> =
            pieces.names.iter().map(|name| (&*name.path, &pieces.text()[name.range.clone()])).collect();
        let all = [("part[0].header", field), ("part[1].header", sound), ("part[2].header", encoded)];
        assert_eq!(named, all);
        assert_eq!(pieces.passages().map(|passages| passages.list.len()), Err(Gap::Undecodable));
    }

    #[test]
    fn what_cannot_be_read_is_not_hidden_by_what_is_media() {
        let sound =
            "content-disposition: form-data; name=\"a\"; filename=\"a.wav\"\r\ncontent-type: audio/wav";
        let lines = "content-disposition: form-data; name=\"b\"; filename=\"b.jsonl\"";
        for parts in
            [[(sound, &[0, 0xFF][..]), (lines, &[0xFF])], [(lines, &[0xFF][..]), (sound, &[0, 0xFF])]]
        {
            assert_eq!(of(BOUNDARY, &form(&parts)).rest, Some(Coverage::None(Gap::Undecodable)));
        }
    }

    #[test]
    fn guardrails_are_shown_texts_that_are_whole_and_not_too_long() {
        let field = "content-disposition: form-data; name=\"prompt\"";
        let sound =
            "content-disposition: form-data; name=\"a\"; filename=\"a.wav\"\r\ncontent-type: audio/wav";
        let body = form(&[(field, b"words"), (sound, &[0, 0xFF]), (field, b" ")]);
        let list = of(BOUNDARY, &body).passages().unwrap().list;
        assert_eq!(list.len(), 1);
        assert_eq!(
            (&*list[0].path, &*list[0].text, list[0].provenance),
            ("part[0]", "words", Provenance::User)
        );
        let cut = Pieces::of_beginning(BOUNDARY, &body, Provenance::Document);
        assert_eq!(cut.passages(), Err(Gap::Streamed));
        assert_eq!(of(BOUNDARY, &form(&[(field, &[0xFF])])).passages(), Err(Gap::Undecodable));
        for (length, shown) in [(KEPT_BYTES_MAX, true), (KEPT_BYTES_MAX + 1, false)] {
            let passages = of("text/plain", &vec![b'x'; length]).passages();
            assert_eq!(
                passages.map(|passages| passages.list.len()),
                if shown { Ok(1) } else { Err(Gap::TooLarge) }
            );
        }
    }

    #[test]
    fn what_claims_to_be_text_and_is_none_cannot_be_read() {
        let lines = "content-disposition: form-data; name=\"file\"; filename=\"batch.JSONL\"";
        let body = form(&[(lines, &[0xFF, 0xFE, b'{', 0])]);
        assert_eq!(
            Pieces::of(BOUNDARY, &body, Provenance::Document).rest,
            Some(Coverage::None(Gap::Undecodable))
        );
        assert_eq!(of("text/plain", &[0xFF]).rest, Some(Coverage::None(Gap::Undecodable)));
        assert_eq!(of("application/octet-stream", &[0xFF]).rest, Some(Coverage::None(Gap::NotText)));
        assert_eq!(of("application/octet-stream", b"words").rest, None);
        assert_eq!(of(BOUNDARY, b"--b-1\r\nno end").rest, Some(Coverage::None(Gap::Undecodable)));
        let encoded = "content-disposition: form-data; name=\"a\"\r\ncontent-transfer-encoding: base64";
        let body = form(&[(encoded, b"YQ==")]);
        assert_eq!(
            Pieces::of(BOUNDARY, &body, Provenance::Document).rest,
            Some(Coverage::None(Gap::Undecodable))
        );
    }
}
