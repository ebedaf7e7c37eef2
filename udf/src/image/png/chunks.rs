//! [`Chunks`]: the chunks of a PNG file.

use flate2::Crc;

/// The first bytes of a PNG file.
pub(in crate::image) const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

#[derive(Debug, Clone, Copy)]
pub(in crate::image) struct Chunk<'a> {
    pub(in crate::image) kind: [u8; 4],
    /// What the file has of the content.
    pub(in crate::image) content: &'a [u8],
    /// Whether the file ends in the content.
    pub(in crate::image) is_truncated: bool,
    /// `None` if the file ends before it.
    pub(super) checksum: Option<u32>,
}

impl Chunk<'_> {
    /// Whether the kind is a name, which consists of letters, digits and underscores for Pillow.
    pub(super) fn has_name(&self) -> bool {
        self.kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    pub(super) fn has_valid_checksum(&self) -> bool {
        let mut crc = Crc::new();
        crc.update(&self.kind);
        crc.update(self.content);
        self.checksum == Some(crc.sum())
    }
}

/// Iterates over the chunks after the signature, up to the first whose length and kind are not complete.
pub(in crate::image) struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    pub(in crate::image) fn new(file: &'a [u8]) -> Self {
        Self { rest: file.get(SIGNATURE.len()..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (content, rest) = rest.split_at(rest.len().min(length));
        let checksum = rest.first_chunk().map(|checksum| u32::from_be_bytes(*checksum));
        self.rest = rest.get(4..).unwrap_or_default();
        Some(Chunk { kind: *kind, content, is_truncated: content.len() < length, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x03abCdxyz\x01\x02\x03\x04\0\0\0\0IEND\xae\x42\x60\x82";

    #[test]
    fn chunks_have_a_kind_a_content_and_a_checksum() {
        let chunks: Vec<Chunk<'_>> = Chunks::new(FILE).collect();
        assert_eq!(chunks.len(), 2);
        assert_eq!((&chunks[0].kind, chunks[0].content), (b"abCd", &b"xyz"[..]));
        assert_eq!(chunks[0].checksum, Some(0x0102_0304));
        assert!(!chunks[0].has_valid_checksum());
        assert!(chunks[1].content.is_empty() && chunks[1].has_valid_checksum());
    }

    #[test]
    fn the_last_chunk_may_be_truncated() {
        let last = |end: usize| Chunks::new(&FILE[..end]).last();
        assert!(last(15).is_none());
        assert!(last(16).is_some_and(|chunk| chunk.is_truncated && chunk.content.is_empty()));
        assert!(last(18).is_some_and(|chunk| chunk.is_truncated && chunk.content == b"xy"));
        assert!(last(21).is_some_and(|chunk| !chunk.is_truncated && chunk.checksum.is_none()));
        assert!(last(23).is_some_and(|chunk| chunk.checksum.is_some()));
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        let has_name = |kind| Chunk { kind, content: b"", is_truncated: false, checksum: None }.has_name();
        assert!(has_name(*b"IDAT") && has_name(*b"a1_d"));
        assert!(!has_name(*b"a.Cd") && !has_name(*b"\0\0\0\0") && !has_name(*b"caf\xe9"));
    }
}
