//! The groups of paths that may be allowed for a provider: one list, a source for each.

use super::{Answer as A, Body as B, Group, ModelIn as M, Row};
use crate::dialect::Family;

const fn row(method: &'static str, path: &'static str, body: B, model: M, answer: A) -> Row {
    Row { method, path, body, model, answer, runs_models: false }
}

/// A row whose request starts work for models that it names elsewhere, in a file say.
const fn runs(method: &'static str, path: &'static str, answer: A) -> Row {
    Row { method, path, body: B::Json, model: M::Nowhere, answer, runs_models: true }
}

const fn get(path: &'static str, answer: A) -> Row {
    row("GET", path, B::None, M::Nowhere, answer)
}

const fn post(path: &'static str, answer: A) -> Row {
    row("POST", path, B::Json, M::Nowhere, answer)
}

const fn delete(path: &'static str) -> Row {
    row("DELETE", path, B::None, M::Nowhere, A::Deleted)
}

/// Every group. Rows of one group and family stand together.
///
/// Paths: the API listings of the vendors' own Python SDKs (github.com/openai/openai-python and
/// anthropics/anthropic-sdk-python, `api.md`) and ai.google.dev/api, all seen 2026-11; what differs stands with a group.
pub const GROUPS: &[Group] = &[
    Group {
        name: "files",
        family: Family::Openai,
        dialect: "openai.files",
        about: "Files: upload, list, describe, download, delete",
        source: "platform.openai.com/docs/api-reference/files (2026-11)",
        rows: &[
            row("POST", "/v1/files", B::Upload, M::Nowhere, A::Made("file")),
            get("/v1/files", A::List),
            get("/v1/files/{id}", A::Seen),
            get("/v1/files/{id}/content", A::Bytes),
            delete("/v1/files/{id}"),
        ],
    },
    Group {
        name: "uploads",
        family: Family::Openai,
        dialect: "openai.uploads",
        about: "Large files, uploaded in parts",
        source: "platform.openai.com/docs/api-reference/uploads (2026-11)",
        rows: &[
            post("/v1/uploads", A::Made("upload")),
            row("POST", "/v1/uploads/{id}/parts", B::Upload, M::Nowhere, A::Plain),
            post("/v1/uploads/{id}/complete", A::Seen),
            post("/v1/uploads/{id}/cancel", A::Plain),
        ],
    },
    Group {
        name: "batches",
        family: Family::Openai,
        dialect: "openai.batches",
        about: "Batches of requests in a file; their usage is not known to the gateway",
        source: "platform.openai.com/docs/api-reference/batch (2026-11)",
        rows: &[
            runs("POST", "/v1/batches", A::Made("batch")),
            get("/v1/batches", A::List),
            get("/v1/batches/{id}", A::Seen),
            post("/v1/batches/{id}/cancel", A::Seen),
        ],
    },
    Group {
        name: "audio",
        family: Family::Openai,
        dialect: "openai.audio",
        about: "Speech to text and text to speech",
        source: "platform.openai.com/docs/api-reference/audio (2026-11)",
        rows: &[
            row("POST", "/v1/audio/transcriptions", B::Upload, M::Form, A::Metered),
            row("POST", "/v1/audio/translations", B::Upload, M::Form, A::Metered),
            row("POST", "/v1/audio/speech", B::Json, M::Body, A::Metered),
        ],
    },
    Group {
        name: "images",
        family: Family::Openai,
        dialect: "openai.images",
        about: "Images: generate, edit, vary",
        source: "platform.openai.com/docs/api-reference/images (2026-11)",
        rows: &[
            row("POST", "/v1/images/generations", B::Json, M::Body, A::Metered),
            row("POST", "/v1/images/edits", B::Upload, M::Form, A::Metered),
            row("POST", "/v1/images/variations", B::Upload, M::Form, A::Metered),
        ],
    },
    Group {
        name: "moderations",
        family: Family::Openai,
        dialect: "openai.moderations",
        about: "Classify content; the provider reports no usage",
        source: "platform.openai.com/docs/api-reference/moderations (2026-11)",
        rows: &[row("POST", "/v1/moderations", B::Json, M::Body, A::Metered)],
    },
    Group {
        name: "rerank",
        family: Family::Openai,
        dialect: "openai.rerank",
        about: "Order documents by relevance (vLLM, Jina, Cohere and others)",
        source: "docs.vllm.ai/en/latest/serving/openai_compatible_server (2026-11)",
        rows: &[row("POST", "/v1/rerank", B::Json, M::Body, A::Metered)],
    },
    Group {
        name: "stored_responses",
        family: Family::Openai,
        dialect: "openai.stored_responses",
        about: "Responses that were stored: read again, cancel, delete. The usage in them was counted when they were made",
        source: "platform.openai.com/docs/api-reference/responses (2026-11)",
        rows: &[
            get("/v1/responses/{id}", A::Plain),
            delete("/v1/responses/{id}"),
            post("/v1/responses/{id}/cancel", A::Plain),
            get("/v1/responses/{id}/input_items", A::Plain),
        ],
    },
    Group {
        name: "conversations",
        family: Family::Openai,
        dialect: "openai.conversations",
        about: "Conversations that responses continue",
        source: "platform.openai.com/docs/api-reference/conversations (2026-11)",
        rows: &[
            post("/v1/conversations", A::Made("conversation")),
            get("/v1/conversations/{id}", A::Plain),
            post("/v1/conversations/{id}", A::Plain),
            delete("/v1/conversations/{id}"),
            post("/v1/conversations/{id}/items", A::Plain),
            get("/v1/conversations/{id}/items", A::Plain),
            get("/v1/conversations/{id}/items/{item}", A::Plain),
            row("DELETE", "/v1/conversations/{id}/items/{item}", B::None, M::Nowhere, A::Plain),
        ],
    },
    Group {
        name: "vector_stores",
        family: Family::Openai,
        dialect: "openai.vector_stores",
        about: "Vector stores, their files and searches in them",
        source: "platform.openai.com/docs/api-reference/vector-stores (2026-11)",
        rows: &[
            post("/v1/vector_stores", A::Made("vector_store")),
            get("/v1/vector_stores", A::List),
            get("/v1/vector_stores/{id}", A::Plain),
            post("/v1/vector_stores/{id}", A::Plain),
            delete("/v1/vector_stores/{id}"),
            post("/v1/vector_stores/{id}/search", A::Plain),
            post("/v1/vector_stores/{id}/files", A::Plain),
            get("/v1/vector_stores/{id}/files", A::Plain),
            get("/v1/vector_stores/{id}/files/{file_id}", A::Plain),
            post("/v1/vector_stores/{id}/files/{file_id}", A::Plain),
            get("/v1/vector_stores/{id}/files/{file_id}/content", A::Bytes),
            row("DELETE", "/v1/vector_stores/{id}/files/{file_id}", B::None, M::Nowhere, A::Plain),
            post("/v1/vector_stores/{id}/file_batches", A::Plain),
            get("/v1/vector_stores/{id}/file_batches/{batch}", A::Plain),
            post("/v1/vector_stores/{id}/file_batches/{batch}/cancel", A::Plain),
            get("/v1/vector_stores/{id}/file_batches/{batch}/files", A::Plain),
        ],
    },
    Group {
        name: "containers",
        family: Family::Openai,
        dialect: "openai.containers",
        about: "Containers of the code interpreter and the files in them",
        source: "platform.openai.com/docs/api-reference/containers (2026-11)",
        rows: &[
            post("/v1/containers", A::Made("container")),
            get("/v1/containers", A::List),
            get("/v1/containers/{id}", A::Plain),
            delete("/v1/containers/{id}"),
            // A form could name a file of another team's in a field; JSON is read for such.
            post("/v1/containers/{id}/files", A::Plain),
            get("/v1/containers/{id}/files", A::Plain),
            get("/v1/containers/{id}/files/{file}", A::Plain),
            get("/v1/containers/{id}/files/{file}/content", A::Bytes),
            row("DELETE", "/v1/containers/{id}/files/{file}", B::None, M::Nowhere, A::Plain),
        ],
    },
    Group {
        name: "fine_tuning",
        family: Family::Openai,
        dialect: "openai.fine_tuning",
        about: "Fine-tuning jobs; their usage is not known to the gateway",
        source: "platform.openai.com/docs/api-reference/fine-tuning (2026-11)",
        rows: &[
            Row {
                method: "POST",
                path: "/v1/fine_tuning/jobs",
                body: B::Json,
                model: M::Body,
                answer: A::Made("fine_tuning_job"),
                runs_models: true,
            },
            get("/v1/fine_tuning/jobs", A::List),
            get("/v1/fine_tuning/jobs/{id}", A::Seen),
            post("/v1/fine_tuning/jobs/{id}/cancel", A::Seen),
            post("/v1/fine_tuning/jobs/{id}/pause", A::Seen),
            post("/v1/fine_tuning/jobs/{id}/resume", A::Seen),
            get("/v1/fine_tuning/jobs/{id}/events", A::Plain),
            get("/v1/fine_tuning/jobs/{id}/checkpoints", A::Plain),
        ],
    },
    Group {
        name: "files",
        family: Family::Anthropic,
        dialect: "anthropic.files",
        about: "Files: upload, list, describe, download, delete",
        source: "docs.anthropic.com/en/api/files-create (2026-11)",
        rows: &[
            row("POST", "/v1/files", B::Upload, M::Nowhere, A::Made("file")),
            get("/v1/files", A::List),
            get("/v1/files/{id}", A::Seen),
            get("/v1/files/{id}/content", A::Bytes),
            delete("/v1/files/{id}"),
        ],
    },
    Group {
        name: "message_batches",
        family: Family::Anthropic,
        dialect: "anthropic.message_batches",
        about: "Batches of messages; their usage is not known to the gateway",
        source: "docs.anthropic.com/en/api/creating-message-batches (2026-11)",
        rows: &[
            runs("POST", "/v1/messages/batches", A::Made("message_batch")),
            get("/v1/messages/batches", A::List),
            get("/v1/messages/batches/{id}", A::Seen),
            post("/v1/messages/batches/{id}/cancel", A::Seen),
            get("/v1/messages/batches/{id}/results", A::Bytes),
            delete("/v1/messages/batches/{id}"),
        ],
    },
    Group {
        name: "files",
        family: Family::Gemini,
        dialect: "gemini.files",
        about: "Files: upload in one request, list, describe, delete",
        source: "ai.google.dev/api/files (2026-11)",
        rows: &[
            row("POST", "/upload/{version}/files", B::Upload, M::Nowhere, A::Made("file")),
            get("/{version}/files", A::List),
            get("/{version}/files/{id}", A::Seen),
            delete("/{version}/files/{id}"),
        ],
    },
    Group {
        name: "cached_contents",
        family: Family::Gemini,
        dialect: "gemini.cached_contents",
        about: "Contexts kept for later prompts; the tokens of making one are not counted",
        source: "ai.google.dev/api/caching (2026-11)",
        rows: &[
            row("POST", "/{version}/cachedContents", B::Json, M::Body, A::Made("cached_content")),
            get("/{version}/cachedContents", A::List),
            get("/{version}/cachedContents/{id}", A::Plain),
            row("PATCH", "/{version}/cachedContents/{id}", B::Json, M::Nowhere, A::Plain),
            delete("/{version}/cachedContents/{id}"),
        ],
    },
    Group {
        name: "batches",
        family: Family::Gemini,
        dialect: "gemini.batches",
        about: "Batches of requests; their usage is not known to the gateway",
        source: "ai.google.dev/api/batch-api (2026-11)",
        rows: &[
            row("POST", "/{version}/models/{model}:batchGenerateContent", B::Json, M::Path, A::Made("batch")),
            get("/{version}/batches", A::List),
            get("/{version}/batches/{id}", A::Seen),
            post("/{version}/batches/{id}:cancel", A::Plain),
            delete("/{version}/batches/{id}"),
        ],
    },
];
