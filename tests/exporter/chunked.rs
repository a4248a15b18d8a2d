//! Bodies of the transfer coding `chunked` (RFC 9112, section 7.1).

/// The body without the sizes of its chunks; `None` while it isn't whole. Panics on anything else.
pub(crate) fn body(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n")?;
        let size = str::from_utf8(&chunks[..end]).expect("a size is ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        let (chunk, rest) = chunks[end + 2..].split_at_checked(size)?;
        let rest = rest.get(..2).map(|end| (end, &rest[2..]));
        let (end, rest) = rest?;
        assert_eq!(end, b"\r\n", "a chunk ends with its line");
        body.extend_from_slice(chunk);
        if size == 0 {
            assert!(rest.is_empty(), "nothing follows the last chunk");
            return Some(body);
        }
        chunks = rest;
    }
}
