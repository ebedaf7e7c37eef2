//! [`Slices`] reads several slices one after the other.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::slice::Iter;

/// The compressed pixels of a PNG file are in several chunks, which are not copied.
pub(super) struct Slices<'a> {
    current: &'a [u8],
    rest: Iter<'a, &'a [u8]>,
}

impl<'a> Slices<'a> {
    pub(super) fn new(slices: &'a [&'a [u8]]) -> Self {
        Self { current: &[], rest: slices.iter() }
    }
}

impl Read for Slices<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let len = available.len().min(buffer.len());
        buffer[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Slices<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.rest.next() {
                Some(next) => self.current = next,
                None => break,
            }
        }
        Ok(self.current)
    }

    fn consume(&mut self, len: usize) {
        self.current = &self.current[len..];
    }
}

/// The crate `png` requires the trait, but does not seek.
impl Seek for Slices<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_joined() {
        let slices: [&[u8]; 5] = [b"", b"ab", b"", b"", b"cde"];
        let mut joined = Vec::new();
        Slices::new(&slices).read_to_end(&mut joined).unwrap();
        assert_eq!(joined, b"abcde");
        let mut slices = Slices::new(&slices);
        assert_eq!(slices.fill_buf().unwrap(), b"ab");
        slices.consume(1);
        assert_eq!(slices.fill_buf().unwrap(), b"b");
        slices.consume(1);
        assert_eq!(slices.fill_buf().unwrap(), b"cde");
        slices.consume(3);
        assert_eq!(slices.fill_buf().unwrap(), b"");
        assert_eq!(Slices::new(&[]).fill_buf().unwrap(), b"");
    }
}
