//! Tokens: what the record says is what the provider bills.

use crate::support::{
    ALL, Ask, CHAT, COMPLETIONS, EMBEDDINGS, GEMINI, GENERATING, Gate, Kind, MESSAGES, RESPONSES, until,
};
use narrows_fake::Billed;
use narrows_ledger::Record;
use narrows_llm::Dialect;
use narrows_meter::Origin;
use narrows_policy::{Capability, Reason};

/// That a record has every figure of a bill's line.
fn assert_billed(record: &Record, billed: &Billed) {
    let usage = &record.usage;
    assert_eq!(usage.input(), Some(billed.input), "{record:?} {billed:?}");
    assert_eq!(usage.cache_read.unwrap_or(0), billed.cached, "{record:?} {billed:?}");
    assert_eq!(usage.cache_write().unwrap_or(0), billed.cache_write, "{record:?} {billed:?}");
    assert_eq!(usage.output().unwrap_or(0), billed.output, "{record:?} {billed:?}");
    // Anthropic does not tell how much of the output was thinking.
    if billed.dialect != Dialect::AnthropicMessages {
        assert_eq!(usage.reasoning.unwrap_or(0), billed.reasoning, "{record:?} {billed:?}");
    }
    assert_eq!(record.model_sent.as_deref(), Some(&*billed.model));
    assert_eq!(record.dialect, Some(billed.dialect.as_str()));
}

/// Asks and compares record and bill.
async fn metered(gate: &Gate, ask: Ask) -> Record {
    let described = format!("{} {:?}", ask.target, ask.headers);
    let answer = gate.ask_as_key(ask).await;
    assert_eq!(answer.status(), 200, "{described}: {}", answer.text());
    assert!(answer.whole, "{described}");
    let record = gate.record_of(&answer).await;
    assert_eq!(
        (record.reason, record.origin),
        (Reason::Completed, Origin::Provider),
        "{described}: {record:?}"
    );
    assert_billed(&record, gate.fake.billed().last().unwrap());
    assert_eq!(record.response_bytes, answer.body.len() as u64, "{described}");
    assert!(record.capabilities.contains(Capability::Cost), "{record:?}");
    record
}

/// Usage of every shape.
const SHAPES: [&str; 5] = [
    "",
    "input=1000;cached=900",
    "reasoning=77",
    "chunks=1;chunk_bytes=1;input=3;cached=1;reasoning=1",
    "write_bytes=3",
];

#[tokio::test]
async fn an_answer_in_one_piece_is_recorded_as_billed() {
    let gate = Gate::start();
    for kind in GENERATING {
        for shape in SHAPES {
            for framing in ["", ";chunked=1"] {
                let record = metered(&gate, Ask::unary(kind).fake(&format!("{shape}{framing}"))).await;
                assert!(!record.streamed);
                assert_eq!(record.request_bytes, kind.body(false).len() as u64);
            }
        }
    }
    metered(&gate, Ask::unary(&EMBEDDINGS)).await;
    metered(&gate, Ask::unary(&MESSAGES).fake("input=100;cached=20;cache_write=30")).await;
}

#[tokio::test]
async fn a_stream_is_recorded_as_billed() {
    let gate = Gate::start();
    for kind in GENERATING {
        for shape in SHAPES {
            let record = metered(&gate, Ask::stream(kind).fake(shape)).await;
            assert!(record.streamed && record.first_byte_us.is_some(), "{record:?}");
        }
        metered(&gate, Ask::stream(kind).fake("burst=1;chunks=300")).await;
    }
    metered(&gate, Ask::stream(&MESSAGES).fake("input=100;cached=20;cache_write=30")).await;
    // Gemini streams an array to those who do not ask for events.
    let array = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    for knobs in ["", "write_bytes=1", "burst=1"] {
        let record = metered(&gate, Ask::stream(&GEMINI).to(array).fake(knobs)).await;
        assert!(record.streamed);
    }
}

#[tokio::test]
async fn tools_are_metered_like_text() {
    let gate = Gate::start();
    let tool = r#""function":{"name":"weather","parameters":{}}"#;
    let bodies: [(&Kind, String); 4] = [
        (&CHAT, format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"call a tool"}}],"tools":[{{"type":"function",{tool}}}]"#)),
        (&RESPONSES, r#"{"model":"gpt-5","input":"call a tool","tools":[{"type":"function","name":"weather"}]"#.to_owned()),
        (&MESSAGES, r#"{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"call a tool"}],"tools":[{"name":"weather"}]"#.to_owned()),
        (&GEMINI, r#"{"contents":[{"role":"user","parts":[{"text":"call a tool"}]}],"tools":[{"functionDeclarations":[{"name":"weather"}]}]"#.to_owned()),
    ];
    for (kind, body) in bodies {
        metered(&gate, Ask::unary(kind).body(format!("{body}}}"))).await;
        let streams = if kind.provider == "gemini" { "" } else { ",\"stream\":true" };
        metered(&gate, Ask::stream(kind).body(format!("{body}{streams}}}")).fake("write_bytes=5")).await;
    }
}

#[tokio::test]
async fn an_answer_compressed_though_nobody_asked_passes_untouched_and_is_metered() {
    let gate = Gate::start();
    for kind in GENERATING {
        for ask in [Ask::unary(kind), Ask::stream(kind)] {
            for knobs in ["fault=gzip", "fault=gzip;write_bytes=11", "fault=gzip;burst=1"] {
                let ask = ask.clone().fake(knobs);
                let answer = gate.ask_as_key(ask.clone()).await;
                assert_eq!(answer.header("content-encoding"), Some("gzip"));
                let mut text = String::new();
                let mut decoder = flate2::read::MultiGzDecoder::new(answer.body.as_slice());
                std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
                // What the provider answers to the request that it saw.
                let seen = gate.fake.seen().pop().unwrap();
                let direct = ask.body(seen.body);
                let straight = crate::support::Client::connect(gate.fake.addr()).await.ask(&direct).await;
                assert_eq!(answer.body, straight.body, "{:?} {knobs}", kind.dialect);
                let record = gate.record_of(&answer).await;
                let billed = gate.fake.billed();
                assert_billed(&record, &billed[billed.len() - 2]);
                assert_eq!(record.origin, Origin::Provider);
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_tells_nothing_is_counted_or_estimated_and_the_record_says_so() {
    let gate = Gate::start();
    for kind in GENERATING {
        for ask in [Ask::unary(kind), Ask::stream(kind)] {
            let answer = gate.ask_as_key(ask.fake("fault=no_usage;chunks=50")).await;
            assert_eq!(answer.status(), 200);
            let record = gate.record_of(&answer).await;
            let billed = gate.fake.billed().pop().unwrap();
            // As soon as the vocabulary is loaded; see `counting`.
            assert!([Origin::Estimated, Origin::Counted].contains(&record.origin), "{record:?}");
            assert_eq!(record.reason, Reason::Completed, "{record:?}");
            let output = record.usage.output().unwrap();
            assert!(record.usage.input().unwrap() > 0, "{record:?}");
            assert!(output * 3 > billed.output && output < billed.output * 3, "{output} for {billed:?}");
        }
    }
}

#[tokio::test]
async fn streams_of_a_provider_that_must_not_be_asked_are_counted_or_estimated() {
    let gate = Gate::plan().usual("ask_for_usage: never").start();
    for kind in [&CHAT, &COMPLETIONS] {
        let answer = gate.ask_as_key(Ask::stream(kind)).await;
        assert_eq!(
            String::from_utf8(gate.fake.seen().pop().unwrap().body).unwrap(),
            kind.body(true),
            "untouched"
        );
        let record = gate.record_of(&answer).await;
        assert!([Origin::Estimated, Origin::Counted].contains(&record.origin), "{record:?}");
        assert!(
            record.usage.input().is_some_and(|input| input > 0)
                && record.usage.output().is_some_and(|output| output > 0)
        );
    }
}

#[tokio::test]
async fn counting_tokens_and_listing_cost_nothing() {
    let gate = Gate::start();
    for ask in [
        Ask::post("/v1/messages/count_tokens", MESSAGES.body(false)),
        Ask::post("/v1beta/models/gemini-2.5-flash:countTokens", GEMINI.body(false)),
        Ask::get("/v1/models"),
    ] {
        let answer = gate.ask_as_key(ask).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!(record.usage.output(), None, "{record:?}");
        assert_eq!(record.reason, Reason::Completed);
    }
}

#[tokio::test]
async fn a_stream_in_flight_shows_its_tokens_and_cost_so_far() {
    let gate = Gate::start();
    for kind in GENERATING {
        let mut client = gate.connect().await;
        client
            .send(&Ask::stream(kind).key(&gate.key).fake("chunks=60;fault=stall_after:30;input=100").wire())
            .await;
        assert_eq!(client.head().await.status, 200);
        let shown = until("the stream to be listed with what it has come to", async || {
            let live = gate.admin("/admin/v1/exchanges?team=blue").await.json();
            let one = live["exchanges"].as_array().unwrap().first()?.clone();
            (one["output"].as_u64()? > 20).then_some(one)
        })
        .await;
        assert_eq!((&shown["user"], &shown["provider"]), (&"ada".into(), &kind.provider.into()), "{shown}");
        assert!(shown["input"].as_u64() > Some(0) && shown["cost_nanousd"].as_u64() > Some(0), "{shown}");
        assert_eq!(gate.admin("/admin/v1/exchanges?team=red").await.json()["total"], 0);
        drop(client);
        gate.records().await;
        let live = gate.admin("/admin/v1/exchanges").await.json();
        assert_eq!((&live["total"], live["exchanges"].as_array().unwrap().len()), (&0.into(), 0), "{live}");
    }
}

#[tokio::test]
async fn the_metrics_add_up_to_the_bill() {
    let gate = Gate::start();
    for kind in ALL {
        metered(&gate, Ask::unary(kind).fake("input=40")).await;
    }
    for kind in GENERATING {
        metered(&gate, Ask::stream(kind).fake("input=40;cached=10;reasoning=2")).await;
    }
    let (billed, metrics) = (gate.fake.billed(), gate.scrape().await);
    let total = |name: &str| -> f64 {
        let wanted = format!("type=\"{name}\"");
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("narrows_tokens_total{") && line.contains(&wanted));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    assert_eq!(total("input"), billed.iter().map(|line| line.input as f64).sum::<f64>(), "{metrics}");
    assert_eq!(total("output"), billed.iter().map(|line| line.output as f64).sum::<f64>());
    let exchanges: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("narrows_exchanges_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(exchanges, 11.0);
}
