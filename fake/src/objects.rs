//! What a provider keeps, in memory: files, batches, stored responses and the like, and the small answers beside
//! inference (audio, images, moderations, rerank). One account: it lists everything to everybody who has its key.

use crate::answer::{Draft, Piece};
use crate::dialect::{CREATED, headers};
use crate::prepared::Key;
use narrows_llm::dialect::Family;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

/// Objects kept, in objects; beyond it the oldest are forgotten.
pub const MAX_OBJECTS: usize = 10_000;
/// Items of a page when nobody asks for a number.
const PAGE: usize = 20;

/// Collections, what an id in them begins with, and what an object in them is called.
const COLLECTIONS: &[(&str, &str, &str)] = &[
    ("files", "file-", "file"),
    ("uploads", "upload_", "upload"),
    ("batches", "batch_", "batch"),
    ("conversations", "conv_", "conversation"),
    ("vector_stores", "vs_", "vector_store"),
    ("containers", "cntr_", "container"),
    ("jobs", "ftjob-", "fine_tuning.job"),
    ("responses", "resp_", "response"),
    ("cachedContents", "cached-", "cached_content"),
    ("things", "thing_", "thing"),
];

#[derive(Debug)]
struct Object {
    collection: &'static str,
    id: String,
    value: Value,
    content: Vec<u8>,
}

/// The objects of one provider.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    objects: Vec<Object>,
    made: u64,
}

/// A request, taken apart.
struct Ask<'a> {
    post: bool,
    delete: bool,
    family: Family,
    query: &'a str,
    body: &'a [u8],
    kind: &'static (&'static str, &'static str, &'static str),
    /// What follows the collection in the path.
    rest: Vec<&'a str>,
}

impl Objects {
    /// The answer to a request, if its path is one beside inference.
    pub(crate) fn answer(&self, key: &Key<'_>) -> Option<Draft> {
        let (method, target) = (std::str::from_utf8(key.method).ok()?, std::str::from_utf8(key.target).ok()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let gemini = path.contains("/v1beta/") && !path.contains("/openai/");
        let family = match (gemini, key.anthropic) {
            (true, _) => Family::Gemini,
            (_, true) => Family::Anthropic,
            _ => Family::Openai,
        };
        if let Some(draft) = small(path) {
            return Some(draft);
        }
        if path.ends_with(":batchGenerateContent") {
            let value = self.make(&COLLECTIONS[2], family, key.body);
            return Some(draft(200, family, &value));
        }
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let at = segments.iter().position(|segment| COLLECTIONS.iter().any(|row| row.0 == *segment))?;
        let kind = COLLECTIONS.iter().find(|row| Some(&row.0) == segments.get(at))?;
        let rest: Vec<&str> = segments.get(at + 1..)?.to_vec();
        // Making a response, and compacting one, is inference.
        if kind.0 == "responses" && rest.first().is_none_or(|first| *first == "compact") {
            return None;
        }
        let ask = Ask {
            post: method == "POST",
            delete: method == "DELETE",
            family,
            query,
            body: key.body,
            kind,
            rest,
        };
        Some(self.collection(&ask))
    }

    /// Keeps a response that was made.
    pub(crate) fn keep_response(&self, id: &str) {
        let mut kept = self.lock();
        if kept.objects.iter().any(|object| object.id == id) {
            return;
        }
        let value = json!({"id": id, "object": "response", "status": "completed", "output": [],
            "usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}});
        kept.keep(Object { collection: "responses", id: id.to_owned(), value, content: Vec::new() });
    }

    fn collection(&self, ask: &Ask<'_>) -> Draft {
        let Some(first) = ask.rest.first() else {
            return if ask.post {
                draft(200, ask.family, &self.make(ask.kind, ask.family, ask.body))
            } else {
                draft(200, ask.family, &self.list(ask))
            };
        };
        let (id, action) = first.split_once(':').map_or((*first, None), |(id, action)| (id, Some(action)));
        let mut kept = self.lock();
        let place = kept.objects.iter().position(|object| object.collection == ask.kind.0 && object.id == id);
        let Some(place) = place else { return missing(ask.family) };
        let object = &kept.objects[place];
        match ask.rest.get(1).copied().or(action) {
            None if ask.delete => {
                let gone = json!({"id": id, "object": ask.kind.2, "deleted": true});
                kept.objects.remove(place);
                draft(200, ask.family, &gone)
            }
            Some("content" | "results") => Draft {
                status: 200,
                content_type: "application/octet-stream",
                headers: headers(ask.family),
                pieces: vec![Piece::content(object.content.clone(), 0)],
                streamed: false,
            },
            Some("complete") => {
                let value = object.value.clone();
                drop(kept);
                let file = self.make(&COLLECTIONS[0], ask.family, b"");
                let mut value = value;
                value["file"] = file;
                draft(200, ask.family, &value)
            }
            Some(
                "items" | "input_items" | "events" | "checkpoints" | "search" | "files" | "file_batches",
            ) if !ask.post => {
                draft(200, ask.family, &json!({"object": "list", "data": [], "has_more": false}))
            }
            _ => draft(200, ask.family, &object.value),
        }
    }

    fn make(&self, kind: &'static (&str, &str, &str), family: Family, body: &[u8]) -> Value {
        let mut kept = self.lock();
        kept.made += 1;
        let number = kept.made;
        let id = match family {
            Family::Gemini => format!("obj-{number}"),
            Family::Openai | Family::Anthropic => format!("{}{number:08}", kind.1),
        };
        let asked: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut value = match family {
            Family::Gemini => {
                let name = format!("{}/{id}", kind.0);
                json!({"name": name, "sizeBytes": body.len().to_string(),
                    "uri": format!("https://generativelanguage.googleapis.com/v1beta/{name}")})
            }
            Family::Anthropic => json!({"id": id, "type": kind.2, "size_bytes": body.len()}),
            Family::Openai => {
                json!({"id": id, "object": kind.2, "created_at": CREATED, "bytes": body.len()})
            }
        };
        if kind.2 == "batch" && family == Family::Openai {
            // A batch that is done as soon as it was begun.
            let output = format!("file-out-{number:08}");
            value["status"] = "completed".into();
            value["input_file_id"] = asked["input_file_id"].clone();
            value["output_file_id"] = output.clone().into();
            let file = json!({"id": output, "object": "file", "created_at": CREATED, "bytes": 2});
            kept.keep(Object { collection: "files", id: output, value: file, content: b"{}".to_vec() });
        }
        kept.keep(Object { collection: kind.0, id, value: value.clone(), content: body.to_vec() });
        if kind.2 == "file" && family == Family::Gemini { json!({"file": value}) } else { value }
    }

    /// A page, newest last, behind the cursor that was given.
    fn list(&self, ask: &Ask<'_>) -> Value {
        let parameter = |name: &str| {
            let found = ask.query.split('&').filter_map(|pair| pair.split_once('='));
            found.filter(|(have, _)| *have == name).map(|(_, value)| value).next_back()
        };
        let (limit, after) = match ask.family {
            Family::Openai => ("limit", "after"),
            Family::Anthropic => ("limit", "after_id"),
            Family::Gemini => ("pageSize", "pageToken"),
        };
        let limit = parameter(limit).and_then(|text| text.parse().ok()).unwrap_or(PAGE).max(1);
        let kept = self.lock();
        // Gemini's objects have names where others have ids; both may be in here.
        let named = ask.family == Family::Gemini;
        let is_listed =
            |object: &&Object| object.collection == ask.kind.0 && object.value.get("name").is_some() == named;
        let all: Vec<&Object> = kept.objects.iter().filter(is_listed).collect();
        let from = match parameter(after) {
            Some(cursor) => all.iter().position(|object| object.id == cursor).map_or(all.len(), |at| at + 1),
            None => 0,
        };
        let page: Vec<Value> = all.iter().skip(from).take(limit).map(|object| object.value.clone()).collect();
        let more = all.len() > from + page.len();
        let id = |object: Option<&Value>| object.map_or(Value::Null, |object| object["id"].clone());
        if ask.family == Family::Gemini {
            let mut list = json!({ask.kind.0: page});
            if let Some(last) = all.get(from + page.len().saturating_sub(1)).filter(|_| more) {
                list["nextPageToken"] = last.id.clone().into();
            }
            return list;
        }
        let (first, last) = (id(page.first()), id(page.last()));
        json!({"object": "list", "data": page, "has_more": more, "first_id": first, "last_id": last})
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, object: Object) {
        if self.objects.len() >= MAX_OBJECTS {
            self.objects.remove(0);
        }
        self.objects.push(object);
    }
}

/// Answers that keep nothing.
fn small(path: &str) -> Option<Draft> {
    let ends = |tail: &str| path.ends_with(tail);
    let value = if ends("/audio/transcriptions") || ends("/audio/translations") {
        json!({"text": "hello", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 5,
            "total_tokens": 19, "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}})
    } else if ends("/audio/speech") {
        return Some(Draft {
            status: 200,
            content_type: "audio/mpeg",
            headers: headers(Family::Openai),
            pieces: vec![Piece::content(b"ID3\x03\0\xff\xfb".to_vec(), 0)],
            streamed: true,
        });
    } else if ends("/images/generations") || ends("/images/edits") || ends("/images/variations") {
        json!({"created": CREATED, "data": [{"b64_json": "aGVsbG8="}], "usage": {"input_tokens": 50,
            "output_tokens": 100, "total_tokens": 150,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}})
    } else if ends("/moderations") {
        json!({"id": "modr-1", "model": "omni-moderation-latest", "results": [{"flagged": false}]})
    } else if ends("/rerank") {
        json!({"id": "rerank-1", "results": [{"index": 0, "relevance_score": 0.9}],
            "usage": {"prompt_tokens": 21, "total_tokens": 21}})
    } else {
        return None;
    };
    Some(draft(200, Family::Openai, &value))
}

fn draft(status: u16, family: Family, value: &Value) -> Draft {
    Draft {
        status,
        content_type: "application/json",
        headers: headers(family),
        pieces: vec![Piece::content(value.to_string(), 0)],
        streamed: false,
    }
}

fn missing(family: Family) -> Draft {
    let value = match family {
        Family::Openai => json!({"error": {"message": "No such object", "type": "invalid_request_error",
            "param": "id", "code": null}}),
        Family::Anthropic => {
            json!({"type": "error", "error": {"type": "not_found_error", "message": "No such object"}})
        }
        Family::Gemini => json!({"error": {"code": 404, "message": "No such object", "status": "NOT_FOUND"}}),
    };
    draft(404, family, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(objects: &Objects, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let key =
            Key { method: method.as_bytes(), target: target.as_bytes(), knobs: b"", anthropic: false, body };
        let draft = objects.answer(&key).unwrap();
        let body: Vec<u8> = draft.pieces.iter().flat_map(|piece| piece.body.clone()).collect();
        (draft.status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    #[test]
    fn objects_are_made_listed_in_pages_read_and_deleted() {
        let objects = Objects::default();
        let ids: Vec<Value> =
            (0..3).map(|_| ask(&objects, "POST", "/v1/files", b"x").1["id"].clone()).collect();
        let (_, page) = ask(&objects, "GET", "/v1/files?limit=2", b"");
        assert_eq!((page["has_more"].as_bool(), &page["last_id"]), (Some(true), &ids[1]));
        let next = format!("/v1/files?limit=2&after={}", ids[1].as_str().unwrap());
        let (_, page) = ask(&objects, "GET", &next, b"");
        assert_eq!((page["has_more"].as_bool(), &page["data"][0]["id"]), (Some(false), &ids[2]));
        let one = format!("/v1/files/{}", ids[0].as_str().unwrap());
        assert_eq!(ask(&objects, "GET", &one, b"").0, 200);
        assert_eq!(ask(&objects, "DELETE", &one, b"").1["deleted"], true);
        assert_eq!(ask(&objects, "GET", &one, b"").0, 404);
        let (_, batch) = ask(&objects, "POST", "/v1/batches", br#"{"input_file_id":"file-1"}"#);
        let output = format!("/v1/files/{}", batch["output_file_id"].as_str().unwrap());
        assert_eq!(ask(&objects, "GET", &output, b"").0, 200);
    }

    #[test]
    fn the_store_has_a_limit() {
        let objects = Objects::default();
        for _ in 0..=MAX_OBJECTS {
            objects.make(&COLLECTIONS[0], Family::Openai, b"");
        }
        assert_eq!(objects.lock().objects.len(), MAX_OBJECTS);
    }
}
