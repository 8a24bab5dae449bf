//! Chunked messages: what is decoded, what is refused, and that cuts in the input do not matter.

use proptest::prelude::*;

use super::*;

/// Content, trailer section, and how many bytes the message took.
type Decoded = (Vec<u8>, Vec<u8>, usize);

/// Decodes the message at the start of `input`, which arrives in parts of `sizes` bytes (cycled); `Ok(None)` when it
/// is incomplete.
fn decode(input: &[u8], sizes: &[usize]) -> Result<Option<Decoded>, Fault> {
    let mut decoder = ChunkedDecoder::new();
    let (mut content, mut start, mut end) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        match decoder.step(&input[start..end])? {
            Chunk::Data(range) => {
                assert!(!range.is_empty());
                content.extend_from_slice(&input[start..end][range.clone()]);
                start += range.end;
            }
            Chunk::Partial { consumed } => {
                start += consumed;
                assert!(end - start < TRAILER_BYTES_MAX);
                if end == input.len() {
                    return Ok(None);
                }
                end = input.len().min(end + sizes.next().unwrap());
            }
            Chunk::End { trailers, consumed } => {
                assert!(decoder.is_over());
                return Ok(Some((content, input[start..end][trailers].to_vec(), start + consumed)));
            }
        }
    }
}

fn content(text: &str) -> Result<Option<String>, Fault> {
    let whole = decode(text.as_bytes(), &[usize::MAX / 2])?;
    assert_eq!(decode(text.as_bytes(), &[1]), Ok(whole.clone()), "{text:?} byte by byte");
    Ok(whole.map(|(content, _, _)| String::from_utf8(content).unwrap()))
}

fn fault(text: &str) -> Fault {
    let fault = content(text).expect_err(text);
    assert_eq!(decode(text.as_bytes(), &[1]), Err(fault), "{text:?} byte by byte");
    fault
}

#[test]
fn valid_messages() {
    for (text, expected) in [
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        ("A\r\n0123456789\r\n0\r\nX: y\r\n\r\nnext", "0123456789"),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x"),
        ("1;a=b;c=\"d\\\"; \\\\e\u{e9}\";f\r\nx\r\n0\r\n\r\n", "x"),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
    ] {
        assert_eq!(content(text), Ok(Some(expected.to_owned())), "{text:?}");
    }
    let message = b"1\r\nx\r\n0\r\nX: y\r\nZ:\r\n\r\nGET";
    assert_eq!(decode(message, &[3]), Ok(Some((b"x".to_vec(), b"X: y\r\nZ:\r\n\r\n".to_vec(), message.len() - 3))));
    for text in ["", "5", "5\r", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nX: y\r\n", "0\r\n\r"] {
        assert_eq!(content(text), Ok(None), "{text:?}");
    }
}

#[test]
fn invalid_messages() {
    for text in [
        "\r\n",
        "g",
        " 5\r\n",
        "5 \r\n",
        "5\t;a\r\n",
        "+5\r\n",
        "-1\r\n",
        "0x5\r\n",
        "1_0\r\n",
        ";a\r\n",
        "5\n",
        "5\r5",
        "5\r\r\n",
        "00000000000000000\r\n",
        "10000000000000000\r\n",
        "5:\r\n",
    ] {
        assert_eq!(fault(text), Fault::ChunkSize, "{text:?}");
    }
    for text in [
        "5;\r\n",
        "5;\n",
        "5; a\r\n",
        "5;a =b\r\n",
        "5;a= b\r\n",
        "5;=b\r\n",
        "5;a=\r\n",
        "5;a[=b\r\n",
        "5;a=\"b\r\n",
        "5;a=\"b\"c\r\n",
        "5;a\0\r\n",
        "5;\0a\r\n",
        "5;a\n",
        "5;a=\"\\\0\"",
        "5;;a\r\n",
        "5;a\t\r\n",
    ] {
        assert_eq!(fault(text), Fault::ChunkExtension, "{text:?}");
    }
    for text in ["1\r\nx0\r\n\r\n", "1\r\nxy\r\n", "1\r\nx\n", "1\r\nx\r\r\n", "1\r\nx\r0"] {
        assert_eq!(fault(text), Fault::ChunkEnd, "{text:?}");
    }
    assert_eq!(fault("5;a\rX\r\n"), Fault::ChunkSize);
    assert_eq!(fault("0\r\n\n"), Fault::Trailers);
    assert_eq!(fault("0\r\nX: y\n\r\n"), Fault::Trailers);
}

#[test]
fn every_bound_is_reached() {
    assert_eq!(content("ffffffffffffffff\r\nx"), Ok(None));
    // `;` itself is not counted, everything after it up to and with CR is.
    let extended =
        |length: usize| format!("1;{}\r\nx\r\n1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(2_000), "b".repeat(length));
    assert_eq!(content(&extended(CHUNK_EXTENSION_BYTES_MAX - 2_002)), Ok(Some("xx".to_owned())));
    assert_eq!(fault(&extended(CHUNK_EXTENSION_BYTES_MAX - 2_001)), Fault::ChunkExtensionsTooLarge);
    let trailed = |length: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length - 7));
    assert!(content(&trailed(TRAILER_BYTES_MAX)).unwrap().is_some());
    assert_eq!(fault(&trailed(TRAILER_BYTES_MAX + 1)), Fault::TrailersTooLarge);
    assert!(size_of::<ChunkedDecoder>() <= 24);
}

#[test]
fn sizes_are_written_in_hexadecimal() {
    let written = |length| {
        let mut out = Vec::new();
        write_chunk_head(length, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written(1), "1\r\n");
    assert_eq!(written(0x1f0), "1f0\r\n");
    assert_eq!(written(usize::MAX), "ffffffffffffffff\r\n");
    assert_eq!(written(0), "");
}

fn tricky_message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "0",
        "1",
        "a",
        "5\r\nhello\r\n",
        "1\r\nx\r\n",
        "\r\n",
        "\r",
        "\n",
        ";",
        "=",
        "\"",
        "\\",
        "x",
        " ",
        "0\r\n",
        "0\r\n\r\n",
        "X: y\r\n",
        "5;a=b\r\nhello\r\n",
        "5;a=\"b;\"\r\nhello\r\n",
        "\0",
        "00000000",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn cuts_in_the_input_change_nothing(message in tricky_message(), sizes in prop::collection::vec(1_usize..9, 1..6)) {
        prop_assert_eq!(decode(&message, &sizes), decode(&message, &[usize::MAX / 2]));
    }

    #[test]
    fn what_is_encoded_is_decoded(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), sizes in prop::collection::vec(1_usize..50, 1..6)) {
        let mut message = Vec::new();
        for chunk in &chunks {
            write_chunk_head(chunk.len(), &mut message);
            message.extend(chunk);
            message.extend(CHUNK_END);
        }
        message.extend(b"0\r\n\r\n");
        let length = message.len();
        message.extend(b"GET /");
        prop_assert_eq!(decode(&message, &sizes), Ok(Some((chunks.concat(), b"\r\n".to_vec(), length))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&message, &[7]);
    }
}
