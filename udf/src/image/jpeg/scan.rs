//! [`decode_planes`] decodes all scans of a JPEG file to the samples of its components.

use super::frame::Frame;
use super::huffman::BitReader;
use super::planes::{Component, Plane};
use super::segments::{
    DEFINE_HUFFMAN_TABLES, DEFINE_QUANTIZATION_TABLES, DEFINE_RESTART_INTERVAL, END_OF_IMAGE, START_OF_SCAN, Segments,
};
use super::tables::Tables;
use super::{DAMAGED, Invalid, blocks};

/// A scan header.
struct ScanHeader {
    /// Each with the index of the component, and those of its DC and AC table.
    members: Vec<(usize, usize, usize)>,
    /// The coefficients, in zigzag order.
    spectrum: (usize, usize),
    /// How many low bits are missing before the scan, if it is not the first, and after it.
    approximation: (u8, u8),
}

/// Files have about ten. A scan of a few bytes can refer to all blocks, so that the time is not bounded by the length of the file.
const MAX_SCANS: usize = 200;

/// Decodes the file up to the end of its last scan.
pub(super) fn decode_planes(bytes: &[u8], frame: &Frame) -> Result<Vec<Plane>, Invalid> {
    let new_component = |declared| Component::new(frame, declared);
    let mut components: Vec<Component> = frame.components.iter().map(new_component).collect();
    let mut tables = Tables::default();
    let mut segments = Segments::new(bytes);
    let mut scans = 0;
    while let Some(segment) = segments.next() {
        match segment.marker {
            DEFINE_HUFFMAN_TABLES => tables.define_huffman(segment.payload)?,
            DEFINE_QUANTIZATION_TABLES => tables.define_quantization(segment.payload)?,
            DEFINE_RESTART_INTERVAL => {
                let interval: [u8; 2] =
                    segment.payload.try_into().map_err(|_| Invalid::Corrupt("its restart interval is invalid"))?;
                tables.restart_interval = u16::from_be_bytes(interval);
            }
            START_OF_SCAN if scans == MAX_SCANS => return Err(Invalid::Corrupt("it has more than 200 scans")),
            START_OF_SCAN => {
                scans += 1;
                let scan = ScanHeader::parse(segment.payload, frame)?;
                for (component, ..) in &scan.members {
                    let component_table = frame.components[*component].table;
                    let table = tables.quantization.get(component_table).copied().flatten();
                    components[*component].quantization = components[*component].quantization.or(table);
                }
                let mut reader = BitReader::new(bytes, segment.end);
                decode_scan(&mut reader, &scan, &tables, frame, &mut components)?;
                if !frame.is_progressive && scan.members.len() == frame.components.len() {
                    return Ok(components.into_iter().map(|component| component.plane).collect());
                }
                segments.skip_to(reader.offset());
            }
            END_OF_IMAGE => return components.into_iter().map(Component::finish).collect(),
            _ => {}
        }
    }
    Err(Invalid::Truncated)
}

impl ScanHeader {
    fn parse(payload: &[u8], frame: &Frame) -> Result<Self, Invalid> {
        const INVALID: Invalid = Invalid::Corrupt("a scan header is invalid");
        let (count, rest) = payload.split_first().ok_or(INVALID)?;
        let (selectors, parameters) = rest.split_at_checked(usize::from(*count) * 2).ok_or(INVALID)?;
        let mut members: Vec<(usize, usize, usize)> = Vec::new();
        for selector in selectors.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == selector[0]).ok_or(INVALID)?;
            if members.iter().any(|(member, ..)| *member == index) {
                return Err(INVALID);
            }
            members.push((index, usize::from(selector[1] >> 4), usize::from(selector[1] & 15)));
        }
        if members.is_empty() {
            return Err(INVALID);
        }
        if !frame.is_progressive {
            return Ok(Self { members, spectrum: (0, 63), approximation: (0, 0) });
        }
        let &[start, end, bits] = parameters.first_chunk::<3>().ok_or(INVALID)?;
        let (high, low) = (bits >> 4, bits & 15);
        let is_spectrum = if start == 0 { end == 0 } else { start <= end && end < 64 && members.len() == 1 };
        let is_approximation = low <= 13 && (high == 0 || high == low + 1);
        if !is_spectrum || !is_approximation {
            return Err(INVALID);
        }
        Ok(Self { members, spectrum: (usize::from(start), usize::from(end)), approximation: (high, low) })
    }
}

/// Decodes a scan into the planes, or into the coefficients of a progressive file.
fn decode_scan(
    reader: &mut BitReader<'_>,
    scan: &ScanHeader,
    tables: &Tables,
    frame: &Frame,
    components: &mut [Component],
) -> Result<(), Invalid> {
    let (columns, rows) = match scan.members.as_slice() {
        [(only, ..)] => components[*only].blocks,
        _ => frame.units(),
    };
    let (start, end) = scan.spectrum;
    let (high, low) = scan.approximation;
    let interval = tables.restart_interval;
    let mut state = blocks::State::new(low);
    let (mut units_left, mut restart) = (interval, 0);
    for row in 0..rows {
        for column in 0..columns {
            if interval > 0 && units_left == 0 {
                reader.restart(restart)?;
                state = blocks::State::new(low);
                (units_left, restart) = (interval, (restart + 1) % 8);
            }
            units_left = units_left.saturating_sub(1);
            for (member, (index, dc, ac)) in scan.members.iter().enumerate() {
                let (horizontal, vertical) =
                    if scan.members.len() == 1 { (1, 1) } else { frame.components[*index].sampling };
                let component = &mut components[*index];
                let dc = || tables.dc.get(*dc).and_then(Option::as_deref).ok_or(NO_TABLE);
                let ac = || tables.ac.get(*ac).and_then(Option::as_deref).ok_or(NO_TABLE);
                for y in 0..vertical {
                    for x in 0..horizontal {
                        let at = (column * horizontal + x, row * vertical + y);
                        if !frame.is_progressive {
                            state.sequential(reader, dc()?, ac()?, member, component, at)?;
                            continue;
                        }
                        let block = component.block(at)?;
                        match (start, high) {
                            (0, 0) => state.dc_first(reader, dc()?, member, block)?,
                            (0, _) => state.dc_refinement(reader, block),
                            (_, 0) => state.ac_first(reader, ac()?, (start, end), block)?,
                            _ => state.ac_refinement(reader, ac()?, (start, end), block)?,
                        }
                    }
                }
            }
            if reader.is_exhausted() {
                return Err(DAMAGED);
            }
        }
    }
    for (index, ..) in &scan.members {
        components[*index].missing_bits[start..=end].fill(Some(low));
    }
    Ok(())
}

const NO_TABLE: Invalid = Invalid::Corrupt("a Huffman table is missing");
