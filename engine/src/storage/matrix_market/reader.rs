//! [`Reader`]: parses the header and then the entries of a matrix from a [`ByteStream`].

use datafusion::physical_plan::metrics::Time;

use super::byte_stream::ByteStream;
use super::entries::{CooBatch, Entries};
use super::header::{Header, HeaderParser};

/// Reads a matrix incrementally.
pub(super) struct Reader {
    bytes: ByteStream,
    /// The current chunk.
    chunk: Vec<u8>,
    /// Offset of the next entry in the chunk.
    offset: usize,
    entries: Entries,
    is_finished: bool,
    /// CPU time, without waiting for I/O.
    time: Time,
}

impl Reader {
    /// Reads the header, and no chunks beyond it.
    ///
    /// # Errors
    /// A message if the header cannot be read.
    pub(super) async fn open(mut bytes: ByteStream, time: Time) -> Result<Self, String> {
        let mut header = HeaderParser::default();
        while let Some(chunk) = bytes.next(&time).await? {
            let mut rest = chunk.as_slice();
            if let Some(entries) = header.push(&mut rest)? {
                let offset = chunk.len() - rest.len();
                return Ok(Self { bytes, chunk, offset, entries, is_finished: false, time });
            }
        }
        let entries = header.finish()?;
        Ok(Self { bytes, chunk: Vec::new(), offset: 0, entries, is_finished: false, time })
    }

    pub(super) fn header(&self) -> &Header {
        self.entries.header()
    }

    /// Fills a batch, or appends the remaining entries.
    ///
    /// # Errors
    /// A message if the entries cannot be read.
    pub(super) async fn fill(&mut self, batch: &mut CooBatch) -> Result<(), String> {
        while !self.is_finished {
            {
                let _timer = self.time.timer();
                let mut rest = &self.chunk[self.offset..];
                self.entries.push(&mut rest, batch)?;
                self.offset = self.chunk.len() - rest.len();
            }
            if batch.is_full() {
                return Ok(());
            }
            match self.bytes.next(&self.time).await? {
                Some(chunk) => (self.chunk, self.offset) = (chunk, 0),
                None => {
                    self.is_finished = true;
                    self.entries.finish(batch)?;
                }
            }
        }
        Ok(())
    }
}
