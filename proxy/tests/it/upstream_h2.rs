//! HTTP/2 towards a provider: what only it can do, well and badly.

use crate::support::{Ask, Gate, patient, until};
use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use narrows_llm::Family;
use narrows_policy::Reason as Ending;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

type Server = Connection<TcpStream, Bytes>;
type Exchange = (Request<RecvStream>, SendResponse<Bytes>);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The next connection, its protocol begun.
async fn accept(listener: &TcpListener, streams: u32) -> Server {
    let (tcp, _) = patient("a connection", listener.accept()).await.unwrap();
    server::Builder::new().max_concurrent_streams(streams).handshake(tcp).await.unwrap()
}

/// The next request.
async fn next(server: &mut Server) -> Exchange {
    patient("a request", server.accept()).await.unwrap().unwrap()
}

fn plan(address: SocketAddr, more: &str) -> crate::support::gate::Plan {
    let text = format!(
        "kind: openai, base_url: 'http://{address}/v1', api_key: sk-1, models: ['m*'], http2: prior_knowledge{more}"
    );
    Gate::plan().provider("two", &text)
}

fn ask() -> Ask {
    Ask::post("/v1/chat/completions", r#"{"model":"m","messages":[]}"#)
}

fn answer(mut respond: SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/json").body(()).unwrap();
    respond.send_response(head, false).unwrap().send_data(Bytes::from_static(BODY.as_bytes()), true).unwrap();
}

/// Moves the connection's frames until it ends.
fn run(mut server: Server) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(Ok((_, respond))) = server.accept().await {
            answer(respond);
        }
    })
}

#[tokio::test]
async fn a_refused_stream_is_asked_again_on_another_connection() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        let mut first = accept(&listener, 10).await;
        let (_, mut respond) = next(&mut first).await;
        respond.send_reset(Reason::REFUSED_STREAM);
        let first = run(first);
        let second = accept(&listener, 10).await;
        patient("the end", run(second)).await.unwrap();
        drop(first);
    });
    let gate = plan(address, "").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, BODY));
    assert_eq!(gate.record_of(&answer).await.usage.input(), Some(3));
    drop(gate);
    provider.abort();
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_what_it_began_and_gives_the_rest_to_a_new_one() {
    let (listener, address) = listen().await;
    let (told, mut goes) = mpsc::channel::<()>(1);
    let (arrived, mut arrives) = mpsc::channel::<()>(1);
    let provider = tokio::spawn(async move {
        let mut first = accept(&listener, 10).await;
        let (_, begun) = next(&mut first).await;
        arrived.send(()).await.unwrap();
        first.graceful_shutdown();
        let first = tokio::spawn(async move {
            let mut begun = Some(begun);
            loop {
                tokio::select! {
                    more = first.accept() => match more {
                        Some(Ok((_, respond))) => answer(respond),
                        _ => return,
                    },
                    // Answered only when a request has been served elsewhere.
                    _ = goes.recv(), if begun.is_some() => answer(begun.take().unwrap()),
                }
            }
        });
        let second = run(accept(&listener, 10).await);
        patient("the first to end", first).await.unwrap();
        second.await.unwrap();
    });
    let gate = plan(address, "").start();
    let first = tokio::spawn({
        let (mut client, ask) = (gate.connect().await, ask().key(&gate.key));
        async move { client.ask(&ask).await }
    });
    // What is asked next must not take the place of the request that is held.
    patient("the first to arrive", arrives.recv()).await.unwrap();
    until("the provider to go away", async || {
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        (gate.gauge("narrows_upstream_connections_opened_total{provider=\"two\"}").await >= 2.0).then_some(())
    })
    .await;
    told.send(()).await.unwrap();
    let first = patient("the first answer", first).await.unwrap();
    assert_eq!((first.status(), first.text().as_str()), (200, BODY), "what was begun is finished");
    provider.abort();
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (listener, address) = listen().await;
    let (reset, mut resets) = mpsc::channel(4);
    let provider = tokio::spawn(async move {
        let mut server = accept(&listener, 10).await;
        while let Some(Ok((request, mut respond))) = server.accept().await {
            let reset = reset.clone();
            if request.headers().contains_key("x-wait") {
                tokio::spawn(async move {
                    let reason = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                    reset.send(reason).await.unwrap();
                });
            } else {
                answer(respond);
            }
        }
    });
    let gate = plan(address, "").start();
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    let mut leaves = gate.connect().await;
    leaves.send(&ask().key(&gate.key).with("x-wait", "1").wire()).await;
    until("the request to be in flight", async || {
        (gate.gauge("narrows_exchanges_in_flight").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    drop(leaves);
    assert_eq!(patient("the reset", resets.recv()).await, Some(Reason::CANCEL));
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    let opened = gate.gauge("narrows_upstream_connections_opened_total{provider=\"two\"}").await;
    assert_eq!(opened, 1.0, "the connection went on");
    let records = gate.records().await;
    assert_eq!(records.iter().filter(|record| record.reason == Ending::ClientGone).count(), 1);
    provider.abort();
}

#[tokio::test]
async fn as_many_streams_share_a_connection_as_both_sides_allow() {
    let (listener, address) = listen().await;
    let most = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&most);
    let provider = tokio::spawn(async move {
        loop {
            let mut server = accept(&listener, 3).await;
            let seen = std::sync::Arc::clone(&seen);
            tokio::spawn(async move {
                let mut held = Vec::new();
                while let Some(Ok((_, respond))) = server.accept().await {
                    held.push(respond);
                    seen.fetch_max(held.len(), Ordering::SeqCst);
                    // Answered together, when as many have come as may.
                    if held.len() == 3 {
                        held.drain(..).for_each(answer);
                    }
                }
            });
        }
    });
    let gate = plan(address, ", http2_streams: 50").start();
    let asks = (0..9).map(|_| async { gate.ask_as_key(ask()).await.status() });
    let answers = patient("every answer", futures_util::future::join_all(asks)).await;
    assert_eq!(answers, [200; 9]);
    assert_eq!(most.load(Ordering::SeqCst), 3, "the provider's limit is respected");
    provider.abort();
}

#[tokio::test]
async fn interim_heads_are_passed_over() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        let mut server = accept(&listener, 10).await;
        let (_, mut respond) = next(&mut server).await;
        for status in [StatusCode::CONTINUE, StatusCode::PROCESSING, StatusCode::EARLY_HINTS] {
            let interim = Response::builder().status(status).header("link", "</x>").body(()).unwrap();
            respond.send_informational(interim).unwrap();
        }
        answer(respond);
        run(server).await.unwrap();
    });
    let gate = plan(address, "").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), answer.header("link"), answer.text().as_str()), (200, None, BODY));
    provider.abort();
}

#[tokio::test]
async fn a_stream_reset_in_the_middle_is_a_cut() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        let mut server = accept(&listener, 10).await;
        while let Some(Ok((_, mut respond))) = server.accept().await {
            let head = Response::builder().header("content-type", "application/json").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"{\"id\""), false).unwrap();
            tokio::spawn(async move {
                // The part leaves before the reset overtakes it, or after; both are a cut.
                tokio::task::yield_now().await;
                body.send_reset(Reason::INTERNAL_ERROR);
            });
        }
    });
    let gate = plan(address, "").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (502, "provider_cut"), "{}", answer.text());
    provider.abort();
}

#[tokio::test]
async fn a_connection_that_never_says_its_settings_wedges_nobody() {
    let (listener, address) = listen().await;
    // It accepts, reads, and says nothing.
    let provider = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            held.push(tokio::spawn(async move {
                let mut sink = [0; 1024];
                while tcp.read(&mut sink).await.is_ok_and(|read| read > 0) {}
            }));
        }
    });
    let gate = plan(address, ", timeouts: {connect: 200ms}").start();
    let asks = (0..20).map(|index| {
        let gate = &gate;
        async move {
            if index % 2 == 0 {
                let answer = gate.ask_as_key(ask()).await;
                assert_eq!(&*answer.code(Family::Openai), "provider_connect", "{}", answer.text());
                502
            } else {
                gate.ask_as_key(Ask::unary(&crate::support::CHAT)).await.status()
            }
        }
    });
    let answers = patient("every answer", futures_util::future::join_all(asks)).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 10, "{answers:?}");
    provider.abort();
}

#[tokio::test]
async fn a_connection_that_went_dead_is_found_out_and_replaced() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        let mut server = accept(&listener, 10).await;
        let (_, respond) = next(&mut server).await;
        answer(respond);
        // The next request is read by nobody: the connection's frames stand still, and it stays open.
        let (_, _unanswered) = next(&mut server).await;
        let mut others = Vec::new();
        loop {
            others.push(run(accept(&listener, 10).await));
        }
    });
    let gate = plan(address, ", timeouts: {connect: 1s, first_byte: 1s}").start();
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    let waited = gate.ask_as_key(ask()).await;
    assert_eq!(&*waited.code(Family::Openai), "provider_first_byte_timeout");
    until("the dead connection to be replaced", async || {
        (gate.ask_as_key(ask()).await.status() == 200).then_some(())
    })
    .await;
    provider.abort();
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_2_is_told() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let gate = plan(address, "").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!(answer.status(), 502);
    // Whether it is read or found closed first is a race.
    assert!(
        ["provider_protocol", "provider_connect"].contains(&&*answer.code(Family::Openai)),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("HTTP/2"), "{}", answer.text());
    provider.abort();
}

async fn opened(gate: &Gate) -> f64 {
    gate.gauge("narrows_upstream_connections_opened_total{provider=\"two\"}").await
}

/// Answers every request of HTTP/1.1 on a connection, of which `begun` was read.
async fn serve_h1(mut tcp: TcpStream, mut begun: Vec<u8>) {
    loop {
        while !begun.ends_with(b"}") {
            if !tcp.read_buf(&mut begun).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        begun.clear();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            BODY.len()
        );
        tcp.write_all(format!("{head}{BODY}").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_wants_http_1_is_asked_over_it_and_not_over_one_connection_for_each_request() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0; 3];
                while tcp.peek(&mut first).await.unwrap() < first.len() {}
                if first != *b"PRI" {
                    return serve_h1(tcp, Vec::new()).await;
                }
                let mut server = server::Builder::new().handshake::<_, Bytes>(tcp).await.unwrap();
                while let Some(Ok((_, mut respond))) = server.accept().await {
                    respond.send_reset(Reason::HTTP_1_1_REQUIRED);
                }
            });
        }
    });
    let gate = plan(address, "").start();
    for _ in 0..10 {
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, BODY));
    }
    assert_eq!(opened(&gate).await, 2.0, "one to be told, and one that is used again");
    provider.abort();
}

#[tokio::test]
async fn a_provider_that_refuses_every_stream_is_not_opened_a_connection_for_each_request() {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        loop {
            let mut server = accept(&listener, 10).await;
            tokio::spawn(async move {
                while let Some(Ok((_, mut respond))) = server.accept().await {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let gate = plan(address, "").start();
    for _ in 0..10 {
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!(
            (answer.status(), &*answer.code(Family::Openai)),
            (502, "provider_cut"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(opened(&gate).await, 2.0, "each request tries both, within its limit");
    provider.abort();
}

/// A provider whose connections take one exchange each, which is answered when `go` says so.
async fn one_each(go: tokio::sync::watch::Receiver<bool>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let (listener, address) = listen().await;
    let provider = tokio::spawn(async move {
        loop {
            let mut server = accept(&listener, 1).await;
            let mut go = go.clone();
            tokio::spawn(async move {
                while let Some(Ok((_, respond))) = server.accept().await {
                    let mut go = go.clone();
                    tokio::spawn(async move {
                        go.wait_for(|go| *go).await.unwrap();
                        answer(respond);
                    });
                }
                let _ = go.changed().await;
            });
        }
    });
    (address, provider)
}

#[tokio::test]
async fn more_requests_than_wait_for_one_connection_after_the_other_make_their_own() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let (address, provider) = one_each(wait).await;
    let gate = plan(address, "").start();
    let asks = (0..12).map(|_| async { gate.ask_as_key(ask()).await.status() });
    let all = async {
        until("a connection for each", async || (opened(&gate).await == 12.0).then_some(())).await;
        go.send_replace(true);
    };
    let (answers, ()) =
        Box::pin(patient("every answer", async { tokio::join!(futures_util::future::join_all(asks), all) }))
            .await;
    assert_eq!(answers, [200; 12]);
    provider.abort();
}

#[tokio::test]
async fn the_number_of_shared_connections_has_a_limit() {
    const LINKS_MAX: usize = 128;
    let (go, wait) = tokio::sync::watch::channel(false);
    let (address, provider) = one_each(wait).await;
    let gate = plan(address, ", http2_streams: 1").start();
    let asks = (0..LINKS_MAX).map(|_| async { gate.ask_as_key(ask()).await.status() });
    let beyond = async {
        until("a connection for each", async || (opened(&gate).await == LINKS_MAX as f64).then_some(()))
            .await;
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!(
            (answer.status(), &*answer.code(Family::Openai)),
            (502, "provider_connect"),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("128 connections"), "{}", answer.text());
        assert_eq!(opened(&gate).await, LINKS_MAX as f64);
        go.send_replace(true);
    };
    let (answers, ()) = Box::pin(patient("every answer", async {
        tokio::join!(futures_util::future::join_all(asks), beyond)
    }))
    .await;
    assert_eq!(answers, [200; LINKS_MAX]);
    provider.abort();
}
