//! [`Reader`]: the header of a matrix and then its entries, from a [`Text`] that comes when it comes.

use datafusion::physical_plan::metrics::Time;

use super::entries::{Block, Entries};
use super::header::{Header, HeaderLines};
use super::text::Text;

/// Reads a matrix, as far as somebody asks.
pub(super) struct Reader {
    text: Text,
    /// The piece of the text that is being looked at.
    piece: Vec<u8>,
    /// Where in it the next entry starts.
    at: usize,
    entries: Entries,
    is_over: bool,
    /// What it took, without the time that was spent waiting.
    time: Time,
}

impl Reader {
    /// Reads the header, and no more pieces than that takes.
    ///
    /// # Errors
    /// Half a sentence.
    pub(super) async fn open(mut text: Text, time: Time) -> Result<Self, String> {
        let mut header = HeaderLines::default();
        while let Some(piece) = text.next(&time).await? {
            let mut rest = piece.as_slice();
            if let Some(entries) = header.push(&mut rest)? {
                let at = piece.len() - rest.len();
                return Ok(Self { text, piece, at, entries, is_over: false, time });
            }
        }
        let entries = header.finish()?;
        Ok(Self { text, piece: Vec::new(), at: 0, entries, is_over: false, time })
    }

    pub(super) fn header(&self) -> &Header {
        self.entries.header()
    }

    /// Fills a block, or puts into it what is left.
    ///
    /// # Errors
    /// Half a sentence.
    pub(super) async fn fill(&mut self, block: &mut Block) -> Result<(), String> {
        while !self.is_over {
            {
                let _timer = self.time.timer();
                let mut rest = &self.piece[self.at..];
                self.entries.push(&mut rest, block)?;
                self.at = self.piece.len() - rest.len();
            }
            if block.is_full() {
                return Ok(());
            }
            match self.text.next(&self.time).await? {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => {
                    self.is_over = true;
                    self.entries.finish(block)?;
                }
            }
        }
        Ok(())
    }
}
