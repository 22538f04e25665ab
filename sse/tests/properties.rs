//! Split invariance, boundedness and totality over generated streams; the same bodies as the fuzz target.

use narrows_sse::{Framer, fuzzing, write};
use proptest::prelude::*;

/// Streams made mostly of the pieces that matter to the grammar.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data".to_vec()),
        Just(b"data: {\"a\":1}".to_vec()),
        Just(b"event: x".to_vec()),
        Just(b": comment".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b": ".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        Just(b"\xEF".to_vec()),
        Just(vec![b'y'; 40]),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(size in 0u8..12, stream in stream()) {
        fuzzing::sse_split(&[&[size], stream.as_slice()].concat());
    }

    #[test]
    fn any_bytes_are_framed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::sse_split(&bytes);
    }

    #[test]
    fn any_prefix_has_an_end(stream in stream()) {
        for end in 0..=stream.len() {
            let mut framer = Framer::new();
            let mut complete = 0;
            framer.push(&stream[..end], &mut |frame| complete += usize::from(!frame.is_incomplete()));
            let mut pending = 0;
            framer.finish(&mut |frame| {
                assert!(frame.is_incomplete());
                pending += 1;
            });
            prop_assert!(pending <= 1 && complete <= end);
        }
    }

    #[test]
    fn what_is_written_reads_back(data in "[a-z \n]{0,30}", name in proptest::option::of("[a-z_]{1,10}")) {
        let mut out = Vec::new();
        write::event(&mut out, name.as_deref(), data.as_bytes());
        let mut seen = 0;
        let mut framer = Framer::new();
        framer.push(&out, &mut |frame| {
            seen += 1;
            assert_eq!(frame.event(), name.as_deref().unwrap_or_default().as_bytes());
            assert_eq!(&*frame.data(), data.as_bytes());
        });
        prop_assert_eq!(seen, 1);
    }
}
